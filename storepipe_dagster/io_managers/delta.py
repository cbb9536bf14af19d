"""Delta tables: written by Spark, described from their transaction log.

A write replaces exactly the days it was asked for, or the whole table, in one commit (how is in
``delta_writes``). A read of what was never materialized is an error, whichever table or day it is.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import dagster as dg
import deltalake
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import types as T

from storepipe_dagster import figures
from storepipe_dagster.asset_metadata import (
    COLUMN_SCHEMA,
    ROW_COUNT,
    SIZE,
    lineage_in,
    preview,
)
from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.contexts import SparkResource, explained, partition_column
from storepipe_dagster.io_managers.copies import Copies, copies
from storepipe_dagster.io_managers.delta_days import (
    DailyRows,
    by_day,
    condition,
    held_to,
    parts_of,
    sizes_upstream,
)
from storepipe_dagster.io_managers.delta_log import files_by_day, files_of, open_delta
from storepipe_dagster.io_managers.delta_writes import Target, replace
from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError, persistent

PREVIEW_ROWS = 5


class SchemaMismatchError(UserError):
    """A DataFrame is not what the asset's contract declares; the message names the columns."""


class LostTableError(UserError):
    """A table that Dagster has a history of is not in the lake; the message names its days."""


@dataclass(frozen=True)
class DeltaIOManager(dg.IOManager):
    """Writes Spark DataFrames; reads them into Spark, or into Arrow where the input says so.

    A long range of ``DailyRows`` is computed ``in_parts``, unless Spark has a cluster for it.
    """

    lake: Lake
    pyspark: SparkResource
    in_parts: bool = True

    @explained
    @persistent
    def handle_output(self, context: dg.OutputContext, obj: DataFrame | DailyRows) -> None:
        """Replace the days asked for, or the table; other days and versions are not touched.

        A table of an earlier contract gets the columns of this one with the run that replaces all
        of it, in the same commit; raises ``SchemaMismatchError`` for a run that does not.
        """
        path = self.lake.path(context.asset_key)
        contract: dg.TableSchema = context.definition_metadata[COLUMN_SCHEMA]
        column = partition_column(context)
        days = list(context.asset_partition_keys) if column else []
        parts = self._parts(context, days) if isinstance(obj, DailyRows) else [days]
        rows = obj.of(parts[0]) if isinstance(obj, DailyRows) else obj
        schema = _checked(context.asset_key, rows.schema, contract)
        table = open_delta(self.lake, path)
        if table is None:
            expect_not_lost(self.lake, context.step_context.instance, context.asset_key, days)
        else:
            _expect_partitioning(context.asset_key, table, column)
        if table is not None and (differing := _differing(table, schema)):
            _expect_all_days(context.asset_key, table, column, days, differing)
            context.log.warning(
                "%s differs from its contract in %s, and is replaced whole.",
                context.asset_key.to_user_string(),
                ", ".join(differing),
            )
        of_part = obj.of if isinstance(obj, DailyRows) else lambda _: rows
        target = Target(
            self.lake,
            path,
            deltalake.Schema.from_json(schema.json()),
            [column] if column else [],
            run=context.run_id,
        )
        replace(
            target,
            (
                (part, held_to(part, of_part(part), column) if column else of_part(part))
                for part in parts
            ),
        )
        self._describe(context, path, contract, column, days)

    @explained
    @persistent
    def load_input(self, context: dg.InputContext) -> DataFrame | DailyRows | pa.Table:
        """Read the days that the step is about, or the table; raises ``MissingUpstreamError``.

        An asset without days reads all rows, also those before the first partition. An input
        annotated as ``DailyRows``, or as an Arrow table, is that.
        """
        column, days = partition_column(context), days_read(context)
        kept = open_upstream(self.lake, context, days)
        if context.dagster_type.typing_type is pa.Table:
            with copies() as made:
                return self._rows(kept, files_of(kept), made).to_table()
        path = self.lake.spark_path(self.lake.path(context.asset_key))
        table = self.pyspark.spark_session.read.format("delta").load(path)
        if not (column and days):
            return table
        of_days = DailyRows(lambda part: by_day(table.where(condition(column, part)), column, part))
        wants_days = context.dagster_type.typing_type is DailyRows
        return of_days if wants_days else table.where(condition(column, days))

    def _parts(self, context: dg.OutputContext, days: Sequence[str]) -> list[Sequence[str]]:
        """The days that are computed together."""
        asset = context.step_context.assets_def
        if asset is None or not self.in_parts:
            return [days]
        return parts_of(days, sizes_upstream(self.lake, asset.keys_by_input_name.values()))

    def _describe(
        self,
        context: dg.OutputContext,
        path: str,
        contract: dg.TableSchema,
        column: str | None,
        days: Sequence[str],
    ) -> None:
        """Row counts and sizes from the transaction log, lineage, and what to look at.

        That is a preview of the newest rows.
        """
        table = deltalake.DeltaTable(path, storage_options=self.lake.storage_options)
        common: dict[str, Any] = {
            "delta_version": table.version(),
            "path": dg.MetadataValue.path(path),
        }
        lineage = lineage_in(context.definition_metadata)
        if not column:
            files = files_of(table)
            shown = self._preview(table, files, contract)
            context.add_output_metadata(common | lineage | _sizes(files) | shown)
            return
        of_days = files_by_day(table, column)
        rows = {day: sum(file["num_records"] for file in files) for day, files in of_days.items()}
        with_rows = [day for day in days if rows.get(day)]
        files = [file for day in days for file in of_days.get(day, [])]
        wanted = context.definition_metadata.get(figures.FIGURES)
        numbers = self._figures(table, files, column, days, wanted) if wanted else {}
        for day in days:
            metadata = common | numbers.get(day, {}) | _sizes(of_days.get(day, []))
            if day == days[-1]:  # it is looked for in the newest, and longer than all else
                metadata |= lineage
            if with_rows and day == with_rows[-1]:
                metadata |= self._preview(table, of_days[day], contract)
            context.step_context.add_asset_metadata(
                metadata=metadata, asset_key=context.asset_key, partition_key=day
            )

    def _figures(
        self,
        table: deltalake.DeltaTable,
        files: Sequence[Mapping[str, Any]],
        column: str,
        days: Sequence[str],
        wanted: figures.Wanted,
    ) -> dict[str, dict[str, float]]:
        names = [column, *figures.columns_counted(wanted)]
        with copies() as made:
            batches = self._rows(table, files, made).to_batches(columns=names)
            return figures.by_day(batches, column, days, wanted)

    def _preview(
        self,
        table: deltalake.DeltaTable,
        files: Sequence[Mapping[str, Any]],
        contract: dg.TableSchema,
    ) -> dict[str, Any]:
        with_rows = [file for file in files if file["num_records"]]
        if not with_rows:
            return {}
        with copies() as made:
            rows = self._rows(table, with_rows[:1], made).head(PREVIEW_ROWS).to_pylist()
        return {"preview": preview(rows, contract)}

    def _rows(
        self, table: deltalake.DeltaTable, files: Sequence[Mapping[str, Any]], made: Copies
    ) -> Any:
        """The rows of some files as an Arrow dataset, which needs no Python in Arrow's threads."""
        sizes = {unquote(file["path"]): file["size_bytes"] for file in files}
        return self.lake.rows_of(table, sizes, made)


def days_read(context: dg.InputContext) -> Sequence[str]:
    """The days of its upstream that a step is about; none if it is about all rows."""
    consumer = context.step_context.assets_def
    by_day = partition_column(context) and consumer and consumer.partitions_def
    return context.asset_partition_keys if by_day else []


def open_upstream(
    lake: Lake, context: dg.InputContext, days: Sequence[str]
) -> deltalake.DeltaTable:
    """The newest version of an input's table, which is as its contract says it is."""
    table = open_delta(lake, lake.path(context.asset_key))
    if table is None:
        raise MissingUpstreamError(context.asset_key, days)
    column = partition_column(context)
    _expect_partitioning(context.asset_key, table, column)
    _expect_contract(context, table)
    there = set(_days_there(table, column))
    if missing := [day for day in days if day not in there]:
        raise MissingUpstreamError(context.asset_key, missing)
    if not files_of(table):
        raise MissingUpstreamError(context.asset_key)
    return table


def _checked(key: dg.AssetKey, schema: T.StructType, contract: dg.TableSchema) -> T.StructType:
    """The schema with the contract's comments; columns, types and order must be the contract's."""
    found = [(field.name, field.dataType.simpleString()) for field in schema.fields]
    declared = [(column.name, column.type) for column in contract.columns]
    if found != declared:
        differing = sorted({name for name, _ in set(found) ^ set(declared)}) or ["the order"]
        raise SchemaMismatchError(
            f"{key.to_user_string()} differs from its contract in {', '.join(differing)}: "
            f"it has {found}, the contract says {declared}. Let its transform end with conform()."
        )
    return T.StructType(
        [
            T.StructField(field.name, field.dataType, True, {"comment": column.description})
            for field, column in zip(schema.fields, contract.columns, strict=True)
        ]
    )


def _differing(table: deltalake.DeltaTable, schema: T.StructType) -> list[str]:
    """The columns in which a table is of an earlier contract: Sail would keep them, silently."""
    found = {field.name: field.type for field in table.schema().fields}
    declared = {f.name: f.type for f in deltalake.Schema.from_json(schema.json()).fields}
    return sorted(n for n in found | declared if found.get(n) != declared.get(n))


def expect_not_lost(
    lake: Lake, instance: dg.DagsterInstance, key: dg.AssetKey, days: Sequence[str]
) -> None:
    """Refuse to begin a lost table anew with some of its days: none would miss the others.

    A step that runs elsewhere has no history of its own: it is to be asked where Dagster runs.
    """
    if not days or open_delta(lake, lake.path(key)) is not None:
        return
    if lost := sorted(instance.get_materialized_partitions(key) - set(days)):
        name, first, last = key.to_user_string(), min(lost[0], days[0]), max(lost[-1], days[-1])
        raise LostTableError(
            f"{name} is not in the lake any more, and had {len(lost)} other days ({lost[0]} to "
            f"{lost[-1]}). Bring its folder back from a backup, or materialize all of its days in "
            f"one run: storepipe run --from {first} --to {last} --select 'key:\"{name}\"+'. If "
            "they are not wanted any more, wipe its materializations in Dagster first."
        )


def _expect_partitioning(key: dg.AssetKey, table: deltalake.DeltaTable, column: str | None) -> None:
    """Refuse a table that is cut into partitions otherwise: delta-rs cannot change how."""
    found, declared = table.metadata().partition_columns, [column] if column else []
    if found != declared:
        raise SchemaMismatchError(
            f"{key.to_user_string()} is partitioned by {', '.join(found) or 'nothing'} in the lake "
            f"and by {', '.join(declared) or 'nothing'} in its contract. Move its folder away, "
            "wipe its materializations in Dagster, and materialise all of it in one run."
        )


def _expect_all_days(
    key: dg.AssetKey,
    table: deltalake.DeltaTable,
    column: str | None,
    days: Sequence[str],
    differing: Sequence[str],
) -> None:
    """Refuse to give a table other columns unless the run replaces all that is in it."""
    there = _days_there(table, column)
    if not set(there) <= set(days):
        name = key.to_user_string()
        raise SchemaMismatchError(
            f"{name} differs from its contract in {', '.join(differing)} as it is in the lake. "
            "Materialise all of its days in one run: "
            f"storepipe run {_range_of(there)}--select 'key:\"{name}\"+'{_start_for(there)}"
        )


def _days_there(table: deltalake.DeltaTable, column: str | None) -> list[str]:
    """The days that a table has files of, oldest first; none if it has no days."""
    return sorted(files_by_day(table, column)) if column else []


def _range_of(there: Sequence[str]) -> str:
    return f"--from {there[0]} --to {there[-1]} " if there else ""


def _start_for(there: Sequence[str]) -> str:
    return f". STOREPIPE_START_DATE must be {there[0]} or before." if there else ""


def _expect_contract(context: dg.InputContext, table: deltalake.DeltaTable) -> None:
    """Refuse to read a table that lacks columns of its contract, or has others of these names."""
    upstream = context.upstream_output
    contract = (upstream.definition_metadata if upstream else {}).get(COLUMN_SCHEMA)
    fields = T.StructType.fromJson(json.loads(table.schema().to_json())).fields
    found = {field.name: field.dataType.simpleString() for field in fields}
    if contract and (lacking := [c.name for c in contract.columns if found.get(c.name) != c.type]):
        name = context.asset_key.to_user_string()
        there = _days_there(table, partition_column(context))
        raise SchemaMismatchError(
            f"{name} differs from its contract in {', '.join(lacking)} as it is in the lake. "
            "Materialise it first, all of its days in one run, together with this: "
            f"{_range_of(there)}--select 'key:\"{name}\"+'{_start_for(there)}"
        )


def _sizes(files: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        ROW_COUNT: sum(file["num_records"] for file in files),
        SIZE: sum(file["size_bytes"] for file in files),
        "files": len(files),
    }
