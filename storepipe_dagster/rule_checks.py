"""Checks of a rule by a query on the lake that gives the rows that break it."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import dagster as dg
import duckdb

from storepipe_dagster.resources.lake_sql import NO_TABLE, SCHEMAS

EXAMPLES = 10
MEMORY_OF_CHECKS = "1GB"  # what a check groups beyond it goes by way of the disk
OF_OURS = {"breaking", "told"}


def day_bounds(days: Sequence[str]) -> dict[str, date]:
    """Parameters for a condition on the closed range of some days."""
    return {"first": date.fromisoformat(min(days)), "last": date.fromisoformat(max(days))}


def no_rows(
    lake: duckdb.DuckDBPyConnection,
    rule: tuple[dg.AssetKey, str],
    query: str,
    parameters: dict[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """Check that a query finds no row that breaks its rule; show some if it does.

    A query's column ``told`` says in words what is wrong with a row.
    Where a table that the rule compares with was never made, the result is a warning; where the
    rule's own was not, the rule is broken. Any other error of the query is raised.
    """
    counted = f"SELECT *, count(*) OVER () AS breaking FROM ({query}) LIMIT {EXAMPLES}"
    lake.execute(f"SET memory_limit = '{MEMORY_OF_CHECKS}'")
    try:
        rows = lake.sql(counted, params=parameters).to_arrow_table().to_pylist()
    except duckdb.CatalogException as error:
        lacking = _never_made(error, query)
        if not lacking:
            raise
        return dg.AssetCheckResult(
            asset_key=rule[0],
            check_name=rule[1],
            passed=False,
            severity=severity if rule[0] in lacking else dg.AssetCheckSeverity.WARN,
            description=f"Not judged, for lack of a table: {str(error).splitlines()[0]}",
        )
    breaking = rows[0].pop("breaking") if rows else 0
    return dg.AssetCheckResult(
        asset_key=rule[0],
        check_name=rule[1],
        passed=not rows,
        severity=severity,
        description=_told(rows, breaking),
        metadata={
            "breaking": breaking,
            "examples": dg.MetadataValue.json(
                [
                    {name: str(value) for name, value in row.items() if name not in OF_OURS}
                    for row in rows
                ]
            ),
        },
    )


def _never_made(error: duckdb.CatalogException, query: str) -> list[dg.AssetKey]:
    """The tables of the lake, as a query names them, that an error says are not there."""
    found = NO_TABLE.match(str(error))
    name = found[1] if found else ""
    return [
        dg.AssetKey([*key.path, name])
        for schema, key in SCHEMAS.items()
        if name and re.search(rf"\b{schema}\.{re.escape(name)}\b", query)
    ]


def _told(rows: Sequence[Mapping[str, Any]], breaking: int) -> str:
    if not rows:
        return "No row breaks the rule."
    if "told" not in rows[0]:
        return "1 row breaks the rule." if breaking == 1 else f"{breaking} rows break the rule."
    more = [f"and {breaking - len(rows)} more"] if breaking > len(rows) else []
    return "; ".join([*(row["told"] for row in rows), *more])
