"""Literal tables in a lake, without Spark, and the real checks run on them."""

from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import dagster as dg
import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql.types import StructType

from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.partitions import DAYS
from storepipe_dagster.resources.lake_sql import LakeSql


def write_delta(root: Path, key: str, schema: StructType, *rows: tuple[Any, ...]) -> None:
    """Write a Delta table of the schema; decimals and times are given as text, null is ``None``."""
    table = deltalake.DeltaTable.create(
        str(root / key),
        deltalake.Schema.from_json(schema.json()),
        partition_by=["sale_date"] if key in PARTITIONED else None,
    )
    if rows:
        arrow = _arrow(pa.schema(table.schema().to_arrow()), rows)
        deltalake.write_deltalake(table, arrow, mode="overwrite")


def write_parquet(root: Path, key: str, schema: pa.Schema, *rows: tuple[Any, ...]) -> None:
    """Write a Parquet file of the schema, or one per day."""
    for day in sorted({row[0] for row in rows}) if key in PARTITIONED else [None]:
        folder = root / key / f"cart_date={day}" if day else root / key
        folder.mkdir(parents=True)
        of_day = [row for row in rows if day in (row[0], None)]
        pq.write_table(_arrow(schema, of_day), folder / "data.parquet")


def judge(
    root: Path,
    checks: dg.AssetChecksDefinition,
    *days: str,
    only: str | None = None,
    made: Iterable[str] = (),
    **resources: Any,
) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Run checks, or those of one asset, for a range of days; the results by asset and name.

    Dagster's history has it that the assets were made on the days ``made``.
    """
    keys = [key for key in checks.check_keys if only in (None, key.asset_key.to_user_string())]
    assets = [
        dg.AssetSpec(key, partitions_def=DAYS if key.to_user_string() in PARTITIONED else None)
        for key in {check.asset_key for check in checks.check_keys}
    ]
    tags = {}
    if days:
        tags = {
            "dagster/asset_partition_range_start": days[0],
            "dagster/asset_partition_range_end": days[-1],
        }
    with dg.DagsterInstance.ephemeral() as instance:
        for asset, day in product((asset for asset in assets if asset.partitions_def), made):
            instance.report_runless_asset_event(dg.AssetMaterialization(asset.key, partition=day))
        result = dg.materialize(
            [*assets, checks],
            selection=dg.AssetSelection.checks(*keys),
            resources={"lake_sql": LakeSql(lake=Lake(root=str(root))), **resources},
            tags=tags,
            instance=instance,
            raise_on_error=False,  # a blocking check that fails stops its run
        )
    return {
        (evaluation.asset_key.to_user_string(), evaluation.check_name): evaluation
        for evaluation in result.get_asset_check_evaluations()
    }


def failures(
    evaluations: dict[tuple[str, str], dg.AssetCheckEvaluation],
) -> dict[tuple[str, str], Sequence[dict[str, str]]]:
    """The checks that failed, with the example rows that they show."""
    return {
        rule: evaluation.metadata["examples"].value
        for rule, evaluation in evaluations.items()
        if not evaluation.passed
    }


PARTITIONED = {
    "raw/relational/carts",
    "raw/relational/cart_items",
    "trusted/sales",
    "trusted/rejected_sales",
    "refined/sales_by_cart",
    "refined/sales_by_product_day",
    "refined/sales_by_day",
}


def _arrow(schema: pa.Schema, rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ((),) * len(schema)
    return pa.table(
        [_typed(values, field.type) for values, field in zip(columns, schema, strict=True)],
        schema=schema,
    )


def _typed(values: Sequence[Any], data_type: pa.DataType) -> pa.Array:
    if any(isinstance(value, str) for value in values) and data_type != pa.string():
        if pa.types.is_timestamp(data_type):
            return pa.array(values, pa.string()).cast(pa.timestamp("us")).cast(data_type)
        return pa.array(values, pa.string()).cast(data_type)
    return pa.array(values, data_type)
