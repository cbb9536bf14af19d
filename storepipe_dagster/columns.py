"""How a Spark table's columns are declared and how a DataFrame is brought into that shape.

The declarations themselves stand in each layer's `schemas.py`. No Dagster here.
"""

from collections.abc import Sequence

from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DataType, StructField, StructType


def column(
    name: str, data_type: DataType, description: str, origin: Sequence[str] = ()
) -> StructField:
    """Declare a nullable column.

    Its metadata keeps the description under "comment", and under "from" what its values are made
    of: columns of other tables, as "trusted/sales:revenue". What only joins, filters, groups or
    breaks ties is left out.
    """
    metadata = {"comment": description} | ({"from": [*origin]} if origin else {})
    return StructField(name, data_type, nullable=True, metadata=metadata)


def conform(df: DataFrame, schema: StructType) -> DataFrame:
    """Select exactly the schema's columns, in its order and cast to its types.

    A column that `df` lacks is the engine's error when the DataFrame is analysed; columns that
    the schema lacks are dropped.
    """
    return df.select([F.col(field.name).cast(field.dataType).alias(field.name) for field in schema])
