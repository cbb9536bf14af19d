"""What people are told of a run: that it failed and where, or what it changed.

Facts of the run only: names, days, counts, revenue. An error is told in its first line if it is
one of ours, whose messages show no values of rows; of any other only its kind.
How messages are sent is in ``resources.webhook``; when, in ``sensors``.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal

import dagster as dg
import duckdb
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
    WILL_RETRY_TAG,
)
from dagster_shared.error import SerializableErrorInfo

from storepipe_dagster.errors import UserError
from storepipe_dagster.failures import CHECK_FAILED, OWN_ERROR, cause_of
from storepipe_dagster.history.changes import changes
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.row_keys import ROW_KEYS

WEEK = timedelta(days=7)
RECORDS_AT_A_TIME = 100
LONGEST_LINE = 300

REVENUE = """
    SELECT sale_date, sum(revenue) FROM refined.sales_by_day
    WHERE sale_date IN ($day, $week_before) GROUP BY 1
"""


def days_of(tags: Mapping[str, str]) -> str:
    """The days that a run is about, in words, from its tags."""
    first = tags.get(ASSET_PARTITION_RANGE_START_TAG) or tags.get(PARTITION_NAME_TAG)
    last = tags.get(ASSET_PARTITION_RANGE_END_TAG) or first
    if first is None or last is None:
        return "no day in particular"
    return first if first == last else f"{first} to {last}"


def failure(run: dg.DagsterRun, failed_steps: Sequence[dg.DagsterEvent], link: str) -> str:
    """That a run failed, and its failed steps."""
    lines = [f"{run.job_name} failed: {days_of(run.tags)}"]
    lines += [
        f"• {(event.step_key or '').replace('__', '/')}: {_told(event.step_failure_data.error)}"
        for event in failed_steps
    ]
    if not failed_steps:
        lines.append("• No step failed: the run's process ended before the run did.")
    if run.tags.get(WILL_RETRY_TAG) == "true":
        lines.append("It is started again.")
    return "\n".join([*lines, link])


def _told(error: SerializableErrorInfo | None) -> str:
    cause = cause_of(error)
    if cause is None:
        return "failed"
    message = cause.message.strip()
    if cause.cls_name == CHECK_FAILED:
        line = f"failed: {'; '.join(message.splitlines()[1:])}"  # assets and names of checks
    elif message.startswith(OWN_ERROR):
        line = message.split(": ", 1)[-1].splitlines()[0]
    else:
        line = cause.cls_name or "failed"
    return line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…"


def success(instance: dg.DagsterInstance, lake_sql: LakeSql, run: dg.DagsterRun, link: str) -> str:
    """That a run succeeded, its day's revenue, and the rows that it changed."""
    lines = [f"{run.job_name} made {days_of(run.tags)}"]
    if day := run.tags.get(PARTITION_NAME_TAG):
        with lake_sql.connect(queries=[REVENUE]) as lake:
            lines.append(revenue(lake, date.fromisoformat(day)))
    tables = [*changed_tables(instance, lake_sql.lake, run)]
    return "\n".join([*lines, *(tables or ["No table has changed."]), link])


def evaluation(check: dg.AssetCheckResult) -> dg.AssetCheckEvaluation:
    """The result of a check that no run made, as a sensor reports it."""
    if check.asset_key is None or check.check_name is None:
        raise ValueError("The result names no check.")
    return dg.AssetCheckEvaluation(
        asset_key=check.asset_key,
        check_name=check.check_name,
        passed=bool(check.passed),
        severity=check.severity,
        description=check.description,
        metadata=check.metadata,
    )


def revenue(lake: duckdb.DuckDBPyConnection, day: date) -> str:
    """A day's revenue beside that of the same weekday in the week before."""
    days = {"day": day, "week_before": day - WEEK}
    found: dict[date, Decimal] = dict(lake.execute(REVENUE, days).fetchall())
    now, before = found.get(day, Decimal(0)), found.get(day - WEEK, Decimal(0))
    change = f" ({(now - before) / before:+.1%})" if before else ""
    return f"Revenue {now:,.2f}; {day - WEEK:%A} {day - WEEK}: {before:,.2f}{change}"


def changed_tables(instance: dg.DagsterInstance, lake: Lake, run: dg.DagsterRun) -> Iterator[str]:
    """A line for each table that a run, with those that it is a retry of, has changed."""
    group = instance.get_run_group(run.run_id)
    run_ids = {run.run_id, *(other.run_id for other in group[1])} if group else {run.run_id}
    for table, row_key in ROW_KEYS.items():
        key = dg.AssetKey(table.split("."))
        name = key.to_user_string()
        before, after = _versions(instance, key, run_ids)
        if after is None:
            continue
        if before is None:
            yield f"• {name}: new"
            continue
        try:
            found = changes(lake, key, before, after, row_key, most_rows=0)
        except UserError as error:
            yield f"• {name}: not compared. {str(error).splitlines()[0]}"
            continue
        if found.added or found.changed or found.removed:
            yield (
                f"• {name}: {found.added:,} added, {found.changed:,} changed, "
                f"{found.removed:,} removed"
            )


def _versions(
    instance: dg.DagsterInstance, key: dg.AssetKey, run_ids: set[str]
) -> tuple[int | None, int | None]:
    """The versions of a table before these runs and after them; none where there is none."""
    after, cursor, more = None, None, True
    while more:
        page = instance.fetch_materializations(key, limit=RECORDS_AT_A_TIME, cursor=cursor)
        for record in page.records:
            made = record.asset_materialization
            version = made.metadata.get("delta_version") if made else None
            number = version.value if isinstance(version, dg.IntMetadataValue) else None
            if record.run_id in run_ids:
                after = number if after is None else after
            elif after is not None:
                return number, after
        cursor, more = page.cursor, page.has_more
    return None, after
