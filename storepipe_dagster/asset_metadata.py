"""What an asset tells about itself in Dagster's UI: its columns, its rows, who keeps it.

One schema feeds everything: the column lists here are made from the layers' schemas.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
from pydantic import BaseModel
from pyspark.sql.types import StructType

OWNERS = ["team:data-engineering"]
COLUMN_SCHEMA = "dagster/column_schema"
PERSONAL_DATA = {"personal_data": "true"}


def columns_of(
    schema: StructType | pa.Schema | sa.Table | type[BaseModel],
) -> dict[str, dg.TableSchema]:
    """Metadata with the column schema of a Spark, Arrow or SQL table, or of JSON records."""
    if isinstance(schema, sa.Table):
        columns = [
            dg.TableColumn(
                column.name,
                str(column.type),
                column.comment,
                constraints=dg.TableColumnConstraints(
                    nullable=bool(column.nullable),
                    unique=column.primary_key and len(column.table.primary_key) == 1,
                ),
                tags=PERSONAL_DATA if column.info.get("personal_data") else None,
            )
            for column in schema.columns
        ]
    elif isinstance(schema, StructType):
        columns = [
            dg.TableColumn(field.name, field.dataType.simpleString(), field.metadata.get("comment"))
            for field in schema.fields
        ]
    elif isinstance(schema, pa.Schema):
        columns = [
            dg.TableColumn(
                field.name,
                str(field.type),
                field.metadata[b"comment"].decode(),
                tags=PERSONAL_DATA if b"personal_data" in field.metadata else None,
            )
            for field in schema
        ]
    else:
        columns = [
            dg.TableColumn(
                field.alias or name,
                definition.get("type", "any"),
                field.description,
                tags=PERSONAL_DATA if "personal_data" in definition else None,
            )
            for name, field in schema.model_fields.items()
            for definition in [_json_definition(schema, field.alias or name)]
        ]
    return {COLUMN_SCHEMA: dg.TableSchema(columns)}


def _json_definition(model: type[BaseModel], name: str) -> dict[str, Any]:
    """JSON Schema's definition of a field; the first one of an optional field."""
    definition: dict[str, Any] = model.model_json_schema()["properties"][name]
    first = definition.get("anyOf", [definition])[0]
    return definition | {"type": first.get("type", "object" if "$ref" in first else "any")}


def preview(rows: Sequence[Mapping[str, Any]], schema: dg.TableSchema) -> dg.MetadataValue:
    """The first rows of a table, to be shown in the UI."""
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({name: _shown(value) for name, value in row.items()}) for row in rows
        ],
        schema=schema,
    )


def _shown(value: Any) -> str | float:
    """A table's cell holds text or a number; null is an empty cell."""
    if value is None:
        return ""
    return value if isinstance(value, int | float) else str(value)


def picture(svg: str) -> dg.MetadataValue:
    """A drawing, to be shown in the UI."""
    return dg.MetadataValue.md(
        f"![](data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()})"
    )
