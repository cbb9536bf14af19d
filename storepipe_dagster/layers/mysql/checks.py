"""Checks on loads: what was captured is in the database."""

from collections.abc import Sequence

import dagster as dg

ALL_LOADED = "every_captured_record_is_loaded"


def every_captured_record_is_loaded(key: Sequence[str]) -> dg.AssetCheckSpec:
    """The blocking check that each load carries."""
    return dg.AssetCheckSpec(
        ALL_LOADED,
        asset=dg.AssetKey(key),
        blocking=True,
        description="After the load the database holds at least the captured records; of a day "
        "that was replaced, exactly these.",
    )


def compared(
    key: Sequence[str], *, captured: int, loaded: int, at_least: bool = False
) -> dg.AssetCheckResult:
    """The result for one table: as many rows as captured, or at least as many."""
    return dg.AssetCheckResult(
        check_name=ALL_LOADED,
        asset_key=dg.AssetKey(key),
        passed=loaded >= captured if at_least else loaded == captured,
        description=f"{captured} rows captured, {loaded} in the table.",
        metadata={"captured": captured, "loaded": loaded},
    )
