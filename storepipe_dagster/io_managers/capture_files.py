"""Raw captures as JSON files, one per capture and day; append-only, the newest is the current one.

Who reads them says by a type how many: ``CurrentCaptures``, ``AllCaptures``, or Spark's
``DataFrame``.

Records that broke their contract stand beside their capture in ``<capture time>.rejected.json``. A
capture in which too many did is ``<capture time>.refused.json``, which nothing downstream reads.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
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
ACCEPTED_STAMP = "Z.json"
STAMP_IN_PATH = r"(\d{8}T\d{6}\.\d{6}Z)\.json$"
SPARK_STAMP = "yyyyMMdd'T'HHmmss.SSSSSSX"


@dataclass(frozen=True)
class CapturedRecords:
    """The records of a capture of a partition: a day, or ``None`` where there are none.

    ``name`` is that of the file; names sort as the captures were taken.
    """

    name: str
    day: str | None
    records: list[dict[str, Any]]


@dataclass(frozen=True)
class Captures:
    """Captures, with the partitions they are of, read one at a time as they are iterated over."""

    paths: Sequence[tuple[str | None, str]]
    lake: Lake

    def __iter__(self) -> Iterator[CapturedRecords]:
        """Read them in their order."""
        for day, path in self.paths:
            with self.lake.explained():
                text = self.lake.files.cat_file(path)
            yield CapturedRecords(_name(path), day, json.loads(text))


class CurrentCaptures(Captures):
    """The newest capture of each partition, in the order of their days."""


class AllCaptures(Captures):
    """Every accepted capture of an asset without days, the newest first."""

    def after(self, name: str) -> "AllCaptures":
        """Those that are newer than one of this name; the newest in any case."""
        newest, *others = self.paths
        newer = [newest, *(entry for entry in others if _name(entry[1]) > name)]
        return AllCaptures(newer, self.lake)


class CaptureFilesIOManager(dg.ConfigurableIOManager):
    """Writes a ``Capture``; reads the newest of each day or all of them lazily, or all into Spark.

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
    def load_input(self, context: dg.InputContext) -> Captures | DataFrame:
        """Read what ``handle_output`` wrote; raises ``MissingUpstreamError``."""
        wanted = context.dagster_type.typing_type
        column = partition_column(context)
        days = context.asset_partition_keys if column else [None]
        accepted = self._accepted(context.asset_key, column, days)
        if missing := [day for day, paths in accepted.items() if not paths]:
            raise MissingUpstreamError(context.asset_key, sorted(day for day in missing if day))
        if wanted is DataFrame:
            return self._history(context.asset_key)
        if wanted is AllCaptures:
            return AllCaptures([(None, path) for path in accepted[None]], self.lake)
        return CurrentCaptures([(day, paths[0]) for day, paths in accepted.items()], self.lake)

    def _history(self, key: dg.AssetKey) -> DataFrame:
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

    def _accepted(
        self, key: dg.AssetKey, column: str | None, days: Sequence[str | None]
    ) -> dict[str | None, list[str]]:
        """The paths of the captures by day, the newest first; none where there are none."""
        return {
            day: sorted((path for path in paths if path.endswith(ACCEPTED_STAMP)), reverse=True)
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


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _free_name(folder: str, capture: Capture, taken: Sequence[str]) -> str:
    """A path, without its ending, that no earlier capture has, however close in time."""
    time = capture.captured_at
    while f"{(name := f'{folder}/{capture_stamp(time)}')}{ACCEPTED}" in taken:
        time += timedelta(microseconds=1)
    return name
