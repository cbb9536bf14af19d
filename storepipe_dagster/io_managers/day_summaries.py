"""Summaries of the days of a Delta table, kept in the lake so that each is made once.

A table about all days is made of them, so a run in which one day changed costs the summary of that
day. Files of a Delta table never change: a summary holds for as long as the day consists of the
same files, which its ``source`` stands for. Summaries are no assets, and nobody's to look after:
what is missing or out of date is made by the next run that needs it.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import deltalake
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from storepipe_dagster.io_managers.contexts import SparkResource, explained, partition_column
from storepipe_dagster.io_managers.delta import days_read, open_upstream
from storepipe_dagster.io_managers.delta_days import DailyRows, by_day, condition, parts_of
from storepipe_dagster.io_managers.delta_log import files_by_day, open_delta
from storepipe_dagster.io_managers.delta_writes import Target, replace
from storepipe_dagster.io_managers.lake import Lake, persistent

SUMMARIES = dg.AssetKey(["refined", "_summaries"])  # a folder; no asset has this key
SOURCE = "source"
Files = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class DaySummary:
    """What is kept of each day, and how it is made of the day's rows.

    ``definition`` differs whenever rows come out otherwise of the same rows.
    """

    name: str
    schema: T.StructType
    summarise: Callable[[DataFrame], DataFrame]
    definition: int


@dataclass(frozen=True)
class DaySummariesIOManager(dg.IOManager):
    """Reads a Delta table by way of summaries of its days; for inputs only."""

    lake: Lake
    pyspark: SparkResource
    in_parts: bool = True

    def handle_output(self, context: dg.OutputContext, obj: object) -> None:
        """Refuse: summaries are made where they are read."""
        raise NotImplementedError(f"{context.asset_key.to_user_string()} is no input.")

    @explained
    @persistent
    def load_input(self, context: dg.InputContext) -> "SummarisedDays":
        """The days that the step is about, or all; raises ``MissingUpstreamError``."""
        days = days_read(context)
        return SummarisedDays(
            self.lake,
            self.pyspark.spark_session,
            context.asset_key,
            open_upstream(self.lake, context, days),
            str(partition_column(context)),
            days,
            self.in_parts,
        )


@dataclass(frozen=True)
class SummarisedDays:
    """Days of a Delta table, as it was when it was opened; of all days if none are named."""

    lake: Lake
    spark: SparkSession
    key: dg.AssetKey
    table: deltalake.DeltaTable
    column: str
    days: Sequence[str]
    in_parts: bool

    @explained
    @persistent
    def of(self, summary: DaySummary) -> DataFrame:
        """The rows of a summary, once those of the days that have changed are made."""
        files = self._of_days(self.table)
        sources = {day: _source(summary, of_day) for day, of_day in files.items()}
        target = Target(
            self.lake,
            self.lake.path(SUMMARIES, summary.name),
            _schema_of(summary),
            [self.column, SOURCE],
            lambda day: {SOURCE: sources[day]},
        )
        kept, others = self._kept(target)
        changed = [day for day in sorted(sources) if kept.get(day) != sources[day]]
        removed = sorted((kept.keys() | others) - sources.keys())
        if changed or removed:
            sizes = {day: sum(file["size_bytes"] for file in files[day]) for day in changed}
            parts = parts_of(changed, sizes) if self.in_parts else [changed]
            made = ((part, self._summarised(summary, part)) for part in parts if part)
            replace(target, made, removed)
        table = deltalake.DeltaTable(target.path, storage_options=self.lake.storage_options)
        rows = self._load(target.path, table).drop(SOURCE)
        return rows.where(condition(self.column, self.days)) if self.days else rows

    def by_day(self, summary: DaySummary) -> DailyRows:
        """The same rows, by day."""
        rows = self.of(summary)
        return DailyRows(lambda days: rows.where(condition(self.column, days)))

    def _kept(self, target: Target) -> tuple[Mapping[str, str], set[str]]:
        """The source of each day that is kept, and the days of a table with other columns."""
        table = open_delta(self.lake, target.path)
        if table is None:
            return {}, set()
        if table.schema() != target.schema:
            return {}, {*files_by_day(table, self.column)}
        of_days = self._of_days(table)
        return {day: files[0][f"partition.{SOURCE}"] for day, files in of_days.items()}, set()

    def _of_days(self, table: deltalake.DeltaTable) -> Mapping[str, Files]:
        files = files_by_day(table, self.column)
        return {day: files[day] for day in self.days if day in files} if self.days else files

    def _summarised(self, summary: DaySummary, days: Sequence[str]) -> DataFrame:
        among = f"{self.column} IN ({', '.join(repr(day) for day in days)})"
        rows = self._load(self.lake.path(self.key), self.table).where(among)
        # Each day is with one task already when it is grouped: nothing is sent around after that.
        return summary.summarise(by_day(rows, self.column, days))

    def _load(self, path: str, table: deltalake.DeltaTable) -> DataFrame:
        """The rows of the version that is open, whoever writes meanwhile."""
        reader = self.spark.read.format("delta").option("versionAsOf", table.version())
        rows: DataFrame = reader.load(self.lake.spark_path(path))
        return rows


def _schema_of(summary: DaySummary) -> deltalake.Schema:
    schema = T.StructType([*summary.schema.fields, T.StructField(SOURCE, T.StringType())])
    return deltalake.Schema.from_json(schema.json())


def _source(summary: DaySummary, files: Files) -> str:
    """What a summary of a day is made of, in short."""
    told = [str(summary.definition), *sorted(file["path"] for file in files)]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:32]
