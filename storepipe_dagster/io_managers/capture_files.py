"""Raw captures as JSON files, one per capture and day; append-only, the newest is the current one.

Records that broke their contract stand beside their capture in ``<capture time>.rejected.json``. A
capture in which too many did is ``<capture time>.refused.json``, which nothing downstream reads.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_pyspark import LazyPySparkResource
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.asset_metadata import ROW_COUNT, SIZE
from storepipe_dagster.captures import Capture
from storepipe_dagster.io_managers.lake import (
    Lake,
    MissingUpstreamError,
    explained,
    partition_column,
)
from storepipe_dagster.times import capture_stamp

ACCEPTED = ".json"
REJECTED = ".rejected.json"
REFUSED = ".refused.json"
CURRENT = "Z.json"
STAMP_IN_PATH = r"(\d{8}T\d{6}\.\d{6}Z)\.json$"
SPARK_STAMP = "yyyyMMdd'T'HHmmss.SSSSSSX"


@dataclass(frozen=True)
class CapturedRecords:
    """The records of the newest capture of a partition: a day, or ``None`` where there are none."""

    day: str | None
    records: list[dict[str, Any]]


@dataclass(frozen=True)
class CurrentCaptures:
    """The newest capture of each partition, read one at a time as they are iterated over."""

    paths: Mapping[str | None, str]
    lake: Lake

    def __iter__(self) -> Iterator[CapturedRecords]:
        """Read the captures in the order of their days."""
        for day, path in self.paths.items():
            with self.lake.explained():
                text = self.lake.files.cat_file(path)
            yield CapturedRecords(day, json.loads(text))


class CaptureFilesIOManager(dg.ConfigurableIOManager):
    """Writes a ``Capture``; reads the newest one lazily, day by day, or all of them into Spark.

    An input annotated as a Spark ``DataFrame`` gets the whole history: one row per capture with
    ``captured_at`` timestamp and ``content`` string, the text of the file.
    """

    lake: dg.ResourceDependency[Lake]
    pyspark: dg.ResourceDependency[LazyPySparkResource]

    @explained
    def handle_output(self, context: dg.OutputContext, obj: Capture) -> None:
        """Write one file per partition asked for, the rejected records first."""
        column = partition_column(context)
        partitions = context.asset_partition_keys if column else [None]
        taken = self.lake.paths_by_day(context.asset_key, column, partitions)
        for partition in partitions:
            folder = self.lake.day_path(context.asset_key, column, partition)
            name = _free_name(folder, obj, taken[partition])
            path = name + (REFUSED if obj.refused else ACCEPTED)
            if obj.rejected.counts[partition]:
                self._write(name + REJECTED, obj.rejected.texts(partition))
            size = self._write(path, obj.accepted.texts(partition))
            context.step_context.add_asset_metadata(
                metadata={
                    ROW_COUNT: obj.accepted.counts[partition],
                    SIZE: size,
                    "files": 1,
                    "rejected": obj.rejected.counts[partition],
                    "path": dg.MetadataValue.path(path),
                },
                asset_key=context.asset_key,
                partition_key=partition,
            )

    @explained
    def load_input(self, context: dg.InputContext) -> CurrentCaptures | DataFrame:
        """Read what ``handle_output`` wrote; raises ``MissingUpstreamError``."""
        if context.dagster_type.typing_type is DataFrame:
            return self._history(context.asset_key)
        column = partition_column(context)
        days = context.asset_partition_keys if column else [None]
        newest = self._newest(context.asset_key, column, days)
        current = {day: path for day, path in newest.items() if path}
        if missing := newest.keys() - current.keys():
            raise MissingUpstreamError(context.asset_key, sorted(day for day in missing if day))
        return CurrentCaptures(current, self.lake)

    def _history(self, key: dg.AssetKey) -> DataFrame:
        if not self._newest(key, None, [None])[None]:
            raise MissingUpstreamError(key)
        files: DataFrame = (
            self.pyspark.spark_session.read.format("binaryFile")
            .option("pathGlobFilter", "*.json")
            .load(self.lake.spark_path(self.lake.path(key)))
        )
        stamp = F.regexp_extract("path", STAMP_IN_PATH, 1)
        return files.where(stamp != "").select(
            F.to_timestamp(stamp, SPARK_STAMP).alias("captured_at"),
            F.col("content").cast("string").alias("content"),
        )

    def _newest(
        self, key: dg.AssetKey, column: str | None, days: Sequence[str | None]
    ) -> dict[str | None, str]:
        """The path of the current capture by day; empty where there is none."""
        return {
            day: max((path for path in paths if path.endswith(CURRENT)), default="")
            for day, paths in self.lake.paths_by_day(key, column, days).items()
        }

    def _write(self, path: str, texts: Iterable[str]) -> int:
        """Write a JSON array; gives its size in bytes."""
        with self.lake.write(path) as file:
            separator = b"[\n"
            for text in texts:
                file.write(separator + text.encode())
                separator = b",\n"
            file.write(b"[]\n" if separator == b"[\n" else b"\n]\n")
            return file.tell()


def _free_name(folder: str, capture: Capture, taken: Sequence[str]) -> str:
    """A path, without its ending, that no earlier capture has, however close in time."""
    time = capture.captured_at
    while f"{(name := f'{folder}/{capture_stamp(time)}')}{ACCEPTED}" in taken:
        time += timedelta(microseconds=1)
    return name
