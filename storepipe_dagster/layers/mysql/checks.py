"""Checks on loads: what was captured is in the database."""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

import dagster as dg

from storepipe_dagster.io_managers.lake import shortened

ALL_LOADED = "every_captured_record_is_loaded"


def every_captured_record_is_loaded(key: Sequence[str]) -> dg.AssetCheckSpec:
    """The blocking check that each load carries."""
    return dg.AssetCheckSpec(
        ALL_LOADED,
        asset=dg.AssetKey(key),
        blocking=True,
        description="After the load the database holds every captured record, and of products and "
        "users no fewer than before. Of each day it holds as many carts and lines as the capture.",
    )


def held_against_days(
    key: Sequence[str], *, captured: Mapping[str, int], loaded: Mapping[str, int]
) -> dg.AssetCheckResult:
    """The result for a table with days: each has as many rows as were counted in its capture."""
    differing = [
        f"{day} ({count} captured, {loaded[day]} in the table)"
        for day, count in captured.items()
        if loaded[day] != count
    ]
    told = f" Differing days: {shortened(differing)}." if differing else ""
    return _result(key, sum(captured.values()), sum(loaded.values()), told)


def held_against_ids(
    key: Sequence[str], *, captured: AbstractSet[int], in_table: AbstractSet[int], before: int
) -> dg.AssetCheckResult:
    """The result for a table without days: every captured id is there, and none is gone.

    ``before`` is how many were there after an earlier load.
    """
    told = ""
    if missing := sorted(captured - in_table):
        told = f" Missing ids: {shortened([*map(str, missing)], 'ids')}."
    if before > len(in_table):
        told += (
            f" There were {before}. Restore them from a backup of the database; if they are gone "
            f"for good: DELETE FROM storepipe_loads WHERE table_name = '{key[-1]}', and run again."
        )
    return _result(key, len(captured), len(in_table), told)


def _result(key: Sequence[str], captured: int, loaded: int, told: str) -> dg.AssetCheckResult:
    """The result with both numbers; failed if there is something to tell besides."""
    return dg.AssetCheckResult(
        check_name=ALL_LOADED,
        asset_key=dg.AssetKey(key),
        passed=not told,
        description=f"{captured} rows captured, {loaded} in the table.{told}",
        metadata={"captured": captured, "loaded": loaded},
    )
