"""Tables that are computed together: several assets in one step, of which any may be asked for.

One step is one launch where Spark steps run elsewhere.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
from pyspark.sql import DataFrame
from pyspark.sql.types import StructType

from storepipe_dagster.asset_metadata import OWNERS, columns_of, tags_of
from storepipe_dagster.io_managers.delta_days import DailyRows


def delta_table(
    layer: str,
    name: str,
    schema: StructType,
    description: str,
    domain: str,
    automation_condition: Any = None,
    **metadata: Any,
) -> dg.AssetOut:
    """A Delta table among those of a step."""
    return dg.AssetOut(
        key=[layer, name],
        group_name=layer,
        io_manager_key="delta",
        automation_condition=automation_condition,
        is_required=False,
        kinds={"pyspark", "deltalake"},
        owners=OWNERS,
        tags=tags_of(layer, domain, schema),
        description=description,
        metadata={**metadata, **columns_of(schema)},
    )


def asked_for(
    context: dg.AssetExecutionContext, tables: Mapping[str, DataFrame | DailyRows]
) -> Iterator[dg.Output[DataFrame | DailyRows]]:
    """The tables that the run selects; the others are not computed."""
    selected = context.op_execution_context.selected_output_names
    for name in [name for name in tables if name in selected]:
        yield dg.Output(tables[name], output_name=name)
