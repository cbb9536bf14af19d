"""Extracts as Parquet files, one per table or day, each replaced whole."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from storepipe_dagster.asset_metadata import ROW_COUNT, SIZE, lineage_in
from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.contexts import SparkResource, explained, partition_column
from storepipe_dagster.io_managers.delta_days import DailyRows
from storepipe_dagster.io_managers.lake import PARQUET_FILE, Lake, MissingUpstreamError

MAGIC = b"PAR1"  # the last bytes of every Parquet file


class DamagedExtractError(UserError):
    """A file is not the whole one that was written; the message names it."""


class RowsOutsideError(Exception):
    """An asset handed over rows of days that it was not asked for."""


@dataclass(frozen=True)
class ParquetIOManager(dg.IOManager):
    """Writes a stream of Arrow batches, sorted by the day if partitioned; Spark reads the files."""

    lake: Lake
    pyspark: SparkResource

    @explained
    def handle_output(self, context: dg.OutputContext, obj: pa.RecordBatchReader) -> None:
        """Write one file per day asked for, an empty one where there are no rows."""
        column = partition_column(context)
        days: Sequence[str | None] = context.asset_partition_keys if column else [None]
        batches = _batches_by_day(obj, column, set(days))
        current = next(batches, None)
        lineage = lineage_in(context.definition_metadata)
        with self.lake.batch() as batch:
            for day in sorted(days, key=str):
                rows = 0
                path = self.lake.day_path(context.asset_key, column, day, PARQUET_FILE)
                with batch.write(path) as file:
                    with pq.ParquetWriter(file, obj.schema, compression="zstd") as writer:
                        while current and current[0] == day:
                            writer.write_batch(current[1])
                            rows += current[1].num_rows
                            current = next(batches, None)
                    size = file.tell()
                context.step_context.add_asset_metadata(
                    metadata={
                        ROW_COUNT: rows,
                        SIZE: size,
                        "files": 1,
                        "path": dg.MetadataValue.path(path),
                        **(lineage if day == max(days, key=str) else {}),
                    },
                    asset_key=context.asset_key,
                    partition_key=day,
                )
            if current:
                raise RowsOutsideError(
                    f"{context.asset_key.to_user_string()} is not sorted by {column}: "
                    f"rows of {current[0]} come again."
                )

    @explained
    def load_input(self, context: dg.InputContext) -> DataFrame | DailyRows:
        """Read the table, or the days asked for; raises ``MissingUpstreamError``.

        An input annotated as ``DailyRows`` is: Spark then opens no file of another day.
        """
        column = partition_column(context)
        days: Sequence[str | None] = context.asset_partition_keys if column else [None]
        paths = {
            day: self.lake.day_path(context.asset_key, column, day, PARQUET_FILE) for day in days
        }
        there = self.lake.paths_by_day(context.asset_key, column, days)
        # Sail would take a file that is not there for an empty table without columns.
        if missing := [day for day, path in paths.items() if path not in there[day]]:
            raise MissingUpstreamError(context.asset_key, [day for day in missing if day])
        sizes = {day: there[day][path] for day, path in paths.items()}
        self._expect_whole(context.asset_key, paths, sizes)

        def read(wanted: Sequence[str | None]) -> DataFrame:
            table: DataFrame = self.pyspark.spark_session.read.parquet(
                *(self.lake.spark_path(paths[day]) for day in wanted)
            )
            return table

        return DailyRows(read) if context.dagster_type.typing_type is DailyRows else read(days)

    def _expect_whole(
        self, key: dg.AssetKey, paths: Mapping[str | None, str], sizes: Mapping[str | None, int]
    ) -> None:
        """Raise ``DamagedExtractError`` for a file without its end: engines do not name it."""
        ends = self.lake.files.cat_ranges(
            [*paths.values()],
            [max(0, sizes[day] - len(MAGIC)) for day in paths],
            [sizes[day] for day in paths],
        )
        for (day, path), end in zip(paths.items(), ends, strict=True):
            if end != MAGIC:
                name, span = key.to_user_string(), f"--from {day or 'DATE'} --to {day or 'DATE'}"
                raise DamagedExtractError(
                    f"The extract {path} is damaged: it has {sizes[day]:,} bytes and not the end "
                    f"of a Parquet file. Make it again: storepipe run {span} "
                    f"--select 'key:\"{name}\"+'"
                )


def _batches_by_day(
    reader: pa.RecordBatchReader, column: str | None, days: set[str | None]
) -> Iterator[tuple[str | None, pa.RecordBatch]]:
    """Cut batches where the day changes; refuse a day that was not asked for."""
    for batch in reader:
        if column is None:
            yield None, batch
            continue
        runs = pc.run_end_encode(batch.column(column))
        start = 0
        for end, value in zip(runs.run_ends.to_pylist(), runs.values.to_pylist(), strict=True):
            day = str(value)
            if day not in days:
                raise RowsOutsideError(f"Rows of {day} came, which was not asked for.")
            yield day, batch.slice(start, end - start)
            start = end
