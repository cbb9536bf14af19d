"""The standing list where people look: a check on each asset that has days, with a table of them.

It warns, stops nothing, and is in no job, as it is about the calendar and not about a run's days.
The sensor ``standing_list`` judges it; by hand it runs from the asset's page.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import dagster as dg

from storepipe_dagster.graph import GRAPH
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.partitions import day_due_now
from storepipe_dagster.resources.database import Database
from storepipe_dagster.standing.existing import existing
from storepipe_dagster.standing.lines import Line
from storepipe_dagster.standing.standing import Standing
from storepipe_dagster.standing.troubles import State

NAME = "every_day_is_there"
MOST_LINES = 100
MOST_LINKS = 10
WITH_DAYS = [
    key for key in GRAPH.toposorted_asset_keys if GRAPH.get(key).partitions_def is not None
]
COLUMNS = dg.TableSchema(
    columns=[
        dg.TableColumn("first_day"),
        dg.TableColumn("last_day"),
        dg.TableColumn("days", "int"),
        dg.TableColumn("state"),
        dg.TableColumn("failure"),
        dg.TableColumn("reason"),
        dg.TableColumn("run_id"),
        dg.TableColumn("repair"),
    ]
)


def results(standing: Standing, last: str) -> dict[dg.AssetKey, dg.AssetCheckResult]:
    """The result of each asset, for the days from the first that was ever asked for."""
    lines = standing.lines(standing.days_until(last))
    return {key: _result(key, [line for line in lines if line.asset == key]) for key in WITH_DAYS}


def _result(key: dg.AssetKey, lines: Sequence[Line]) -> dg.AssetCheckResult:
    lines = [line for line in lines if line.state is not State.IN_PROGRESS]
    shown = lines[-MOST_LINES:]
    runs = {line.run_id: f"{line.first} to {line.last}" for line in shown if line.run_id}
    links = {f"run of {days}": dg.MetadataValue.dagster_run(run) for run, days in runs.items()}
    metadata: dict[str, Any] = {
        "days": sum(line.days for line in lines),
        "list": dg.MetadataValue.table([_record(line) for line in shown], COLUMNS),
        **dict([*links.items()][-MOST_LINKS:]),
    }
    return dg.AssetCheckResult(
        asset_key=key,
        check_name=NAME,
        passed=not lines,
        severity=dg.AssetCheckSeverity.WARN,
        description=_told(lines),
        metadata=metadata if lines else {},
    )


def _told(lines: Sequence[Line]) -> str:
    if not lines:
        return "Every day is there."
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.state.value] = counts.get(line.state.value, 0) + line.days
    told = ", ".join(f"{number:,} {state}" for state, number in counts.items())
    newest = lines[-1]
    return f"Days: {told}. {newest.first} to {newest.last} {newest.state.value}: {newest.reason}"


def _record(line: Line) -> dg.TableRecord:
    return dg.TableRecord(
        {
            "first_day": line.first or "",
            "last_day": line.last or "",
            "days": line.days,
            "state": line.state.value,
            "failure": line.kind.value if line.kind else "",
            "reason": line.reason,
            "run_id": line.run_id or "",
            "repair": line.repair,
        }
    )


@dg.multi_asset_check(
    name="standing_checks",
    specs=[
        dg.AssetCheckSpec(
            NAME,
            asset=key,
            description="A warning, which stops nothing: no day is failed or missing, from the "
            "first that was ever made or asked for. The table tells which, why, and what mends it.",
        )
        for key in WITH_DAYS
    ],
    can_subset=True,
)
def standing_checks(
    context: dg.AssetCheckExecutionContext,
    lake: dg.ResourceParam[Lake],
    database: dg.ResourceParam[Database],
) -> Iterator[dg.AssetCheckResult]:
    """All days that are due, judged by hand; the sensor ``standing_list`` judges them by itself."""
    graph = context.repository_def.asset_graph
    standing = Standing(context.instance, graph, existing(graph, lake, database))
    wanted = {check.asset_key for check in context.selected_asset_check_keys}
    for key, result in results(standing, str(day_due_now())).items():
        if key in wanted:
            yield result
