"""What an asset tells about itself in Dagster's UI: its columns, its rows, who keeps it.

One schema feeds everything: the column lists here are made from the layers' schemas, and so is
the lineage of the columns. Dagster's own view of lineage is part of Dagster+, and its webserver
leaves the entry out; hence the table beside it.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import dagster as dg
import pyarrow as pa
import sqlalchemy as sa
from pydantic import BaseModel
from pyspark.sql.types import StructType

OWNERS = ["team:data-engineering"]
ROW_COUNT, SIZE = "dagster/row_count", "dagster/size_bytes"  # the UI shows and plots these
COLUMN_SCHEMA, COLUMN_LINEAGE = "dagster/column_schema", "dagster/column_lineage"
PERSONAL_DATA = {"personal_data": "true"}
ORIGIN = "from"

Schema: TypeAlias = StructType | pa.Schema | sa.Table | type[BaseModel]


def columns_of(schema: Schema) -> dict[str, Any]:
    """Metadata with the columns of a Spark, Arrow or SQL table, or of JSON records.

    The columns are those of the schema; their lineage is there if the schema tells of it.
    """
    columns: list[dg.TableColumn] = []
    origins: dict[str, list[str]] = {}
    for column, origin in _columns(schema):
        columns.append(column)
        if origin:
            origins[column.name] = [*origin]
    told = {COLUMN_SCHEMA: dg.TableSchema(columns)}
    if not origins:
        return told
    lineage = _lineage(origins)
    return {**told, COLUMN_LINEAGE: lineage, "column_lineage": _shown(lineage)}


def lineage_in(definition_metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The lineage in an asset's metadata, for a materialisation: Dagster+ looks for it there."""
    return {name: value for name, value in definition_metadata.items() if name == COLUMN_LINEAGE}


def tags_of(layer: str, domain: str, schema: Schema | None = None) -> dict[str, str]:
    """What assets are found by in the UI, as ``tag:domain=sales`` or ``tag:personal_data=true``."""
    columns = [column for column, _ in _columns(schema)] if schema is not None else []
    is_personal = any(column.tags == PERSONAL_DATA for column in columns)
    return {"layer": layer, "domain": domain} | (PERSONAL_DATA if is_personal else {})


def _columns(schema: Schema) -> Iterable[tuple[dg.TableColumn, Iterable[str]]]:
    """Each column, and the columns of other tables that it is made of."""
    if isinstance(schema, sa.Table):
        for column in schema.columns:
            yield (
                dg.TableColumn(
                    column.name,
                    str(column.type),
                    column.comment,
                    constraints=dg.TableColumnConstraints(
                        nullable=bool(column.nullable),
                        unique=column.primary_key and len(column.table.primary_key) == 1,
                    ),
                    tags=PERSONAL_DATA if column.info.get("personal_data") else None,
                ),
                column.info.get(ORIGIN, ()),
            )
    elif isinstance(schema, StructType):
        for field in schema.fields:
            data_type, comment = field.dataType.simpleString(), field.metadata.get("comment")
            yield dg.TableColumn(field.name, data_type, comment), field.metadata.get(ORIGIN, ())
    elif isinstance(schema, pa.Schema):
        for field in schema:
            yield (
                dg.TableColumn(
                    field.name,
                    str(field.type),
                    field.metadata[b"comment"].decode(),
                    tags=PERSONAL_DATA if b"personal_data" in field.metadata else None,
                ),
                field.metadata.get(ORIGIN.encode(), b"").decode().split(),
            )
    else:
        properties = schema.model_json_schema()["properties"]
        for name, declared in schema.model_fields.items():
            definition = _json_definition(properties[declared.alias or name])
            yield (
                dg.TableColumn(
                    declared.alias or name,
                    definition.get("type", "any"),
                    declared.description,
                    tags=PERSONAL_DATA if "personal_data" in definition else None,
                ),
                (),
            )


def _lineage(origins: Mapping[str, Sequence[str]]) -> dg.TableColumnLineage:
    """Dagster's form of it; an origin is ``trusted/sales:revenue``."""
    return dg.TableColumnLineage(
        {
            name: [
                dg.TableColumnDep(dg.AssetKey.from_user_string(table), column)
                for table, _, column in (origin.rpartition(":") for origin in of_column)
            ]
            for name, of_column in origins.items()
        }
    )


def _shown(lineage: dg.TableColumnLineage) -> dg.MetadataValue:
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord(
                {
                    "column": name,
                    "made of": ", ".join(
                        f"{dep.asset_key.to_user_string()}:{dep.column_name}" for dep in deps
                    ),
                }
            )
            for name, deps in lineage.deps_by_column.items()
        ],
        schema=dg.TableSchema([dg.TableColumn("column"), dg.TableColumn("made of")]),
    )


def _json_definition(definition: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema's definition of a field, with the first type of an optional one."""
    first = definition.get("anyOf", [definition])[0]
    return definition | {"type": first.get("type", "object" if "$ref" in first else "any")}


def preview(rows: Sequence[Mapping[str, Any]], schema: dg.TableSchema) -> dg.MetadataValue:
    """The first rows of a table, to be shown in the UI."""
    return dg.MetadataValue.table(
        records=[
            dg.TableRecord({name: _cell(value) for name, value in row.items()}) for row in rows
        ],
        schema=schema,
    )


def _cell(value: Any) -> str | float:
    """A table's cell holds text or a number; null is an empty cell."""
    if value is None:
        return ""
    return value if isinstance(value, int | float) else str(value)


def picture(svg: str, title: str = "") -> dg.MetadataValue:
    """A drawing, to be shown in the UI: in line if it is small, else at the press of a button."""
    encoded = base64.b64encode(svg.encode()).decode()
    return dg.MetadataValue.md(f"{title}\n\n![](data:image/svg+xml;base64,{encoded})".lstrip())
