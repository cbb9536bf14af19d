"""What changes the history of tables, as ops of Dagster: recorded in the assets' own history."""

from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from pydantic import Field

from storepipe_dagster.errors import UserError
from storepipe_dagster.history import maintenance, rollback
from storepipe_dagster.history.tables import (
    ZONES,
    delta_tables,
    find_table,
    moment_of,
    table_name,
)
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.pools import TABLES

CAPTURES = "raw"
LEAST_DAYS = 7


class RollBackError(UserError):
    """The configuration of a roll back names no version, or two."""


class RetentionError(UserError):
    """Versions were to be kept for less time than is safe."""


class MaintenanceError(UserError):
    """Some tables could not be maintained; the others were."""


class RollBackConfig(dg.Config):
    """Which table goes back to which version."""

    table: str = Field(description="The table, such as trusted/sales or trusted.sales.")
    version: int | None = Field(
        default=None, description="The version to go back to: storepipe history TABLE lists them."
    )
    time: str | None = Field(
        default=None,
        description="Or a time: as the table was then. ISO 8601, UTC unless it tells otherwise; "
        "a date is the end of that day.",
    )


@dg.op(pool=TABLES)
def roll_back_table(context: dg.OpExecutionContext, config: RollBackConfig, lake: Lake) -> None:
    """Make a Delta table what it was at a version or a time, as a new version.

    Nothing is lost: the versions in between stay, and can be rolled back to in turn. What is made
    from the table is not touched: materialise it again.
    """
    if (config.version is None) == (config.time is None):
        raise RollBackError("Give either a version or a time to go back to.")
    with lake.explained():
        key = find_table(lake, config.table)
        moment = moment_of(config.time) if config.time is not None else None
        done = rollback.roll_back(lake, key, config.version, moment, context.run_id)
    for event in materializations(key, done):
        context.log_event(event)
    context.log.warning(
        "%s is as it was at version %s. What is made from it is not: materialise that again.",
        table_name(key),
        done.to,
    )


def materializations(
    key: dg.AssetKey, done: rollback.RolledBack
) -> Iterator[dg.AssetMaterialization]:
    """What a roll back did to an asset, for each day that changed, or for the whole table."""
    common: dict[str, Any] = {
        "rolled_back_from": done.before,
        "rolled_back_to": done.to,
        "rolled_back_to_time": dg.MetadataValue.timestamp(done.to_time),
        "delta_version": done.version,
        "path": dg.MetadataValue.path(done.path),
    }
    for day, files in done.parts.items():
        yield dg.AssetMaterialization(
            key,
            description=f"Rolled back from version {done.before} to version {done.to}.",
            partition=day,
            metadata={
                **common,
                "dagster/row_count": sum(file.rows for file in files),
                "size_bytes": sum(file.size for file in files),
                "files": len(files),
            },
        )


class MaintenanceConfig(dg.Config):
    """How long versions are kept, and where compaction pays."""

    keep_days: int = Field(
        default=30,
        ge=1,
        description="A table can be read, and rolled back to, as of any time so many days ago.",
    )
    force: bool = Field(
        default=False, description=f"Allow keep_days below {LEAST_DAYS}: a running write may fail."
    )
    small_files: int = Field(
        default=4,
        ge=2,
        description="A day, or a table without days, is compacted if it has so many small files.",
    )


@dg.op(pool=TABLES)
def maintain_lake(context: dg.OpExecutionContext, config: MaintenanceConfig, lake: Lake) -> None:
    """Compact, vacuum and shorten the log of every Delta table; remove what killed writes left.

    A table that fails stops none of the others.
    """
    if config.keep_days < LEAST_DAYS and not config.force:
        raise RetentionError(
            f"keep_days is {config.keep_days}: fewer than {LEAST_DAYS} need force: true."
        )
    upkeep = maintenance.Upkeep(config.keep_days, config.small_files, context.run_id)
    with lake.explained():
        told = [_maintain(context, lake, key, upkeep) for key in delta_tables(lake)]
        now = datetime.now(timezone.utc)
        left = maintenance.remove_unfinished(lake, [CAPTURES, *ZONES], now)
    context.add_output_metadata({"unfinished_files_removed": len(left)})
    if failures := [failure for failure in told if failure]:
        raise MaintenanceError("Not maintained: " + "; ".join(failures))


def _maintain(
    context: dg.OpExecutionContext, lake: Lake, key: dg.AssetKey, upkeep: maintenance.Upkeep
) -> str | None:
    """Maintain a table, and tell what failed."""
    try:
        context.log_event(_observation(key, maintenance.maintain(lake, key, upkeep)))
    except Exception as error:  # noqa: BLE001  # it is told at the end of the step
        return f"{table_name(key)}: {error}"
    return None


def _observation(key: dg.AssetKey, done: maintenance.Kept) -> dg.AssetObservation:
    return dg.AssetObservation(
        key,
        description="Maintenance",
        metadata={
            "delta_version": done.version,
            "files_before": done.files_before,
            "files": done.files,
            "files_compacted": done.files_compacted,
            "files_vacuumed": done.files_vacuumed,
            "oldest_version": done.oldest_version,
        },
    )
