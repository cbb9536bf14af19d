"""Raw captures as JSON files, one per capture and day; append-only, the newest is the current one.

Who reads them says by a type how many: ``CurrentCaptures``, ``AllCaptures``, or Spark's
``DataFrame``.

Records that broke their contract stand beside their capture in ``<capture time>.rejected.json``. A
capture in which too many did, or that lacks too many, is ``<capture time>.refused.json``, which
nothing downstream reads. What the files must hold is known in ``capture_manifests``.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from storepipe_dagster.asset_metadata import ROW_COUNT, SIZE
from storepipe_dagster.captures import Capture
from storepipe_dagster.io_managers.capture_manifests import (
    FileFacts,
    manifest_path,
    verified,
    write_manifest,
)
from storepipe_dagster.io_managers.contexts import SparkResource, explained, partition_column
from storepipe_dagster.io_managers.lake import Batch, Lake, MissingUpstreamError
from storepipe_dagster.times import STAMP_PATTERN, capture_stamp

ACCEPTED = ".json"
REJECTED = ".rejected.json"
REFUSED = ".refused.json"
STAMP_IN_PATH = rf"({STAMP_PATTERN})\.json$"
SPARK_STAMP = "yyyyMMdd'T'HHmmss.SSSSSSX"
FILES_AT_A_TIME = 16


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

    key: dg.AssetKey
    paths: Sequence[tuple[str | None, str]]
    lake: Lake

    def __iter__(self) -> Iterator[CapturedRecords]:
        """Read them in their order; raises ``DamagedCaptureError``."""
        contents = verified(self.lake, self.key, [path for _, path in self.paths])
        for (day, path), (_, text) in zip(self.paths, contents, strict=True):
            yield CapturedRecords(_name(path), day, json.loads(text))


class CurrentCaptures(Captures):
    """The newest capture of each partition, in the order of their days."""


class AllCaptures(Captures):
    """Every accepted capture of an asset without days, the newest first."""

    def after(self, name: str) -> "AllCaptures":
        """Those that are newer than one of this name; the newest in any case."""
        newest, *others = self.paths
        newer = [newest, *(entry for entry in others if _name(entry[1]) > name)]
        return AllCaptures(self.key, newer, self.lake)


@dataclass(frozen=True)
class CaptureFilesIOManager(dg.IOManager):
    """Writes a ``Capture``; reads the newest of each day or all of them lazily, or all into Spark.

    An input annotated as a Spark ``DataFrame`` gets the whole history: one row per capture with
    ``captured_at`` timestamp, ``file`` string, its name, and ``content`` string, its text.
    """

    lake: Lake
    pyspark: SparkResource

    @explained
    def handle_output(self, context: dg.OutputContext, obj: Capture) -> None:
        """Write one file per partition asked for, the rejected records first, then a manifest."""
        column = partition_column(context)
        partitions = context.asset_partition_keys if column else [None]
        key, lake = context.asset_key, self.lake
        taken = [
            path for paths in lake.paths_by_day(key, column, partitions).values() for path in paths
        ]
        captured_at = _free_time(lake, key, obj.captured_at, taken)
        files: dict[str, FileFacts] = {}
        with lake.batch() as batch:
            for partition in partitions:
                name = lake.day_path(key, column, partition, capture_stamp(captured_at))
                path = name + (REFUSED if obj.refused else ACCEPTED)
                rejected = obj.rejected.counts[partition]
                if rejected:
                    _write(batch, name + REJECTED, obj.rejected.texts(partition))
                size, sha256 = _write(batch, path, obj.accepted.texts(partition))
                records = obj.accepted.counts[partition]
                files[path] = FileFacts(
                    records=records, rejected=rejected, bytes=size, sha256=sha256
                )
                context.step_context.add_asset_metadata(
                    metadata={
                        ROW_COUNT: records,
                        SIZE: size,
                        "files": 1,
                        "rejected": rejected,
                        "path": dg.MetadataValue.path(path),
                        "sha256": sha256,
                    },
                    asset_key=key,
                    partition_key=partition,
                )
        write_manifest(lake, key, captured_at, files)

    @explained
    def load_input(self, context: dg.InputContext) -> Captures | DataFrame:
        """Read what ``handle_output`` wrote; raises ``MissingUpstreamError``."""
        wanted = context.dagster_type.typing_type
        column = partition_column(context)
        days = context.asset_partition_keys if column else [None]
        accepted = accepted_paths(self.lake, context.asset_key, column, days)
        if missing := [day for day, paths in accepted.items() if not paths]:
            raise MissingUpstreamError(context.asset_key, sorted(day for day in missing if day))
        if wanted is DataFrame:
            return self._history(context.asset_key, accepted[None])
        if wanted is AllCaptures:
            paths = [(None, path) for path in accepted[None]]
            return AllCaptures(context.asset_key, paths, self.lake)
        newest = [(day, paths[0]) for day, paths in accepted.items()]
        return CurrentCaptures(context.asset_key, newest, self.lake)

    def _history(self, key: dg.AssetKey, paths: Sequence[str]) -> DataFrame:
        """Every capture, once each is known to be whole: engines may read nothing of a cut one."""
        for _ in verified(self.lake, key, paths, FILES_AT_A_TIME):
            pass
        files: DataFrame = self.pyspark.spark_session.read.format("binaryFile").load(
            [self.lake.spark_path(path) for path in paths]
        )
        stamp = F.regexp_extract("path", STAMP_IN_PATH, 1)
        return files.select(
            F.to_timestamp(stamp, SPARK_STAMP).alias("captured_at"),
            F.col("path").alias("file"),
            F.col("content").cast("string").alias("content"),
        )


def _write(files: Lake | Batch, path: str, texts: Iterable[str]) -> tuple[int, str]:
    """Write a JSON array; gives its size in bytes and its SHA-256."""
    size, sha256 = 0, hashlib.sha256()
    with files.write(path) as file:
        for part in _array(texts):
            size += file.write(part)
            sha256.update(part)
    return size, sha256.hexdigest()


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def accepted_paths(
    lake: Lake, key: dg.AssetKey, column: str | None, days: Sequence[str | None]
) -> dict[str | None, list[str]]:
    """The paths of the accepted captures by day, the newest first; none where there are none."""
    return {
        day: sorted((path for path in paths if re.search(STAMP_IN_PATH, path)), reverse=True)
        for day, paths in lake.paths_by_day(key, column, days).items()
    }


def _array(texts: Iterable[str]) -> Iterator[bytes]:
    """A JSON array with each record on a line of its own."""
    separator = b"[\n"
    for text in texts:
        yield separator + text.encode()
        separator = b",\n"
    yield b"[]\n" if separator == b"[\n" else b"\n]\n"


def _free_time(lake: Lake, key: dg.AssetKey, time: datetime, taken: Iterable[str]) -> datetime:
    """The time of a capture, or the next that no earlier one of its days or its asset has."""
    stamps = {stamp for path in taken for stamp in re.findall(STAMP_PATTERN, path)[-1:]}
    while capture_stamp(time) in stamps or lake.files.exists(
        manifest_path(lake, key, capture_stamp(time))
    ):
        time += timedelta(microseconds=1)
    return time
