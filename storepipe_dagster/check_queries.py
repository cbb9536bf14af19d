"""The tables that the queries of checks name are tables of the project.

A table that was never made is told when a check runs, as a warning. A name that is no table at all
would look the same there, so it is an error here, before anything runs.
"""

from collections.abc import Collection, Mapping

import dagster as dg

from storepipe_dagster.errors import UserError
from storepipe_dagster.resources.lake_sql import SCHEMAS, TABLE


class UnknownTableError(UserError):
    """A query names a table that the project does not have."""


def expect_known_tables(
    rules: Mapping[tuple[dg.AssetKey, str], str], known: Collection[dg.AssetKey]
) -> None:
    """Raise ``UnknownTableError`` for the first name in a rule's query that is no known table."""
    for (asset, check), query in rules.items():
        for schema, table in TABLE.findall(query):
            if dg.AssetKey([*SCHEMAS[schema].path, table]) not in known:
                raise UnknownTableError(
                    f"The query of the check {check} on {asset.to_user_string()} names "
                    f"{schema}.{table}, which is no table of the project."
                )
