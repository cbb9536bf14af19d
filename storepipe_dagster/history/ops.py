"""What changes the history of tables, as ops of Dagster: recorded in the assets' own history."""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timezone
from typing import Any

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from pydantic import Field

from storepipe_dagster.asset_metadata import ROW_COUNT, SIZE
from storepipe_dagster.errors import UserError
from storepipe_dagster.history import company, judging, maintenance, rollback
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
OUR_TAGS = "storepipe/"  # which tell the process that the run is of
LEAST_DAYS = 7


class RollBackError(UserError):
    """The configuration of a roll back names no version, or two."""


class RulesBrokenError(UserError):
    """A table was rolled back to rows that break a blocking rule, or could not be judged."""


class RetentionError(UserError):
    """Versions were to be kept for less time than is safe."""


class MaintenanceError(UserError):
    """Some tables could not be maintained; the others were."""


# Which table goes back to which version. Not a ``dg.Config``, whose texts may name variables of the
# environment: a run would tell, in its failure, a password as a table that is not there.
ROLL_BACK = {
    "table": dg.Field(dg.String, description="The table: trusted/sales or trusted.sales, say."),
    "version": dg.Field(
        dg.Noneable(dg.Int),
        default_value=None,
        description="The version to go back to: storepipe history TABLE lists them.",
    ),
    "time": dg.Field(
        dg.Noneable(dg.String),
        default_value=None,
        description="Or a time: as the table was then. ISO 8601, UTC unless it tells otherwise; "
        "a date is the end of that day.",
    ),
}


def roll_back_job(
    graph: AssetGraph,
    checks: Sequence[dg.AssetChecksDefinition],
    config: dict[str, Any] | None = None,
) -> dg.JobDefinition:
    """The job that rolls tables of a graph back, and then validates them by these checks."""

    @dg.op(pool=TABLES, config_schema=ROLL_BACK)
    def roll_back_table(
        context: dg.OpExecutionContext, lake: dg.ResourceParam[Lake]
    ) -> dict[str, Any]:
        """Make a Delta table what it was at a version or a time, as a new version.

        Nothing is lost: the versions in between stay, and can be rolled back to in turn. What is
        made from the table is not touched: the log tells what to do with it.
        """
        table, version, time = (context.op_config[name] for name in ROLL_BACK)
        if (version is None) == (time is None):
            raise RollBackError("Give either a version or a time to go back to.")
        with lake.explained():
            key = dg.AssetKey(find_table(lake, table).path)
            moment = moment_of(time) if time is not None else None
            done = rollback.roll_back(lake, key, version, moment, context.run_id)
            also = company.to_bring_along(graph, context.instance, lake, key, done)
        there = [day for day, files in done.parts.items() if files or day is None]
        for event in _events(key, done, there, also):
            context.log_event(event)
        _tell(context.log, key, done, there, also)
        return {"path": key.path, "days": there, "before": done.before, "to": done.to.number}

    @dg.op  # in no pool: its runs of checks are, and would wait for themselves
    def validate_table(
        context: dg.OpExecutionContext, rolled_back: dict[str, Any], lake: dg.ResourceParam[Lake]
    ) -> None:
        """Run the blocking checks of the table, and of those made together with it."""
        key = dg.AssetKey(rolled_back["path"])
        wrong = [
            *judging.judge(
                context.instance,
                lake,
                checks,
                {key, *company.siblings(graph, key)},
                rolled_back["days"],
                {name: tag for name, tag in context.run.tags.items() if name.startswith(OUR_TAGS)},
            )
        ]
        if wrong:
            raise RulesBrokenError(
                f"{table_name(key)} is as it was at version {rolled_back['to']}, and not well: "
                f"{'; '.join(wrong)} To take the roll back back: "
                f"storepipe rollback {table_name(key)} --to-version {rolled_back['before']}"
            )

    return dg.GraphDefinition(
        "roll_back",  # the op has the job's name
        node_defs=[roll_back_table, validate_table],
        dependencies={
            "validate_table": {"rolled_back": dg.DependencyDefinition("roll_back_table")}
        },
        description="Makes a Delta table what it was at a version or a time, as a new version.",
    ).to_job(name="roll_back_table", config=config)


def _events(
    key: dg.AssetKey,
    done: rollback.RolledBack,
    there: Collection[str | None],
    also: Sequence[str],
) -> Iterator[dg.AssetMaterialization | dg.AssetObservation]:
    """What a roll back did to an asset, for each day that changed, or for the whole table.

    Of a day that the version does not have, an observation: the only one that there is of a day.
    """
    common: dict[str, Any] = {
        "rolled_back_from": done.before,
        "rolled_back_to": done.to.number,
        "rolled_back_to_time": dg.MetadataValue.timestamp(done.to.time),
        "delta_version": done.version,
        "path": dg.MetadataValue.path(done.path),
    }
    told = f"Rolled back from version {done.before} to version {done.to.number}"
    for day, files in done.parts.items():
        if day not in there:
            yield dg.AssetObservation(
                key, description=f"{told}, which does not have it.", partition=day, metadata=common
            )
            continue
        yield dg.AssetMaterialization(
            key,
            description=f"{told}.",
            partition=day,
            metadata={
                **common,
                ROW_COUNT: sum(file.rows for file in files),
                SIZE: sum(file.size for file in files),
                "files": len(files),
                "to_bring_along": "\n".join(also) or "Nothing.",
            },
        )


def _tell(
    log: dg.DagsterLogManager,
    key: dg.AssetKey,
    done: rollback.RolledBack,
    there: Collection[str | None],
    also: Sequence[str],
) -> None:
    log.warning("%s is as it was at version %s.", table_name(key), done.to.number)
    lost = [day for day in done.parts if day is not None and day not in there]
    if lost:
        log.warning(
            "It did not have %s of the days from %s to %s, which are missing now. To make them: "
            "storepipe run --from %s --to %s --select 'key:\"%s\"+'",
            len(lost),
            *(lost[0], lost[-1]) * 2,
            key.to_user_string(),
        )
    for line in also:
        log.warning(line)


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
def maintain_lake(
    context: dg.OpExecutionContext, config: MaintenanceConfig, lake: dg.ResourceParam[Lake]
) -> None:
    """Compact, vacuum and shorten the log of every Delta table; remove what killed writes left.

    A table that fails stops none of the others.
    """
    if config.keep_days < LEAST_DAYS and not config.force:
        raise RetentionError(
            f"keep_days is {config.keep_days}: fewer than {LEAST_DAYS} need force: true."
        )
    upkeep = maintenance.Upkeep(config.keep_days, config.small_files, context.run_id)
    with lake.explained():
        tables = [dg.AssetKey(table.path) for table in delta_tables(lake)]
        told = [_maintain(context, lake, key, upkeep) for key in tables]
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
        done = maintenance.maintain(lake, key, upkeep)
        context.log_event(_observation(key, done))
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
