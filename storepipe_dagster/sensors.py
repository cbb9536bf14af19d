"""What Dagster's daemon watches for: changed sales, late and missing days, failed and other runs.

All are off until they are switched on in the UI. Those that only tell are there only if there is a
webhook to tell by. What is told is written in ``messages``.
"""

import hashlib
import json
import warnings
from collections.abc import Callable, Sequence
from datetime import datetime, time, timedelta, timezone

import dagster as dg
from dagster._core.storage.tags import SCHEDULE_NAME_TAG
from dagster_shared.serdes import serialize_value

from storepipe_dagster import messages
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.jobs import STORE_PIPELINE
from storepipe_dagster.layers.refined.checks import Arrival, arrival_of
from storepipe_dagster.partitions import due_day
from storepipe_dagster.resources.database import Database
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.webhook import Webhook
from storepipe_dagster.settings import Settings
from storepipe_dagster.standing.existing import existing
from storepipe_dagster.standing.standing import Standing
from storepipe_dagster.standing_checks import results

SECONDS_TO_NOTICE = 60
SECONDS_TO_LIST = 300
MOST_MINUTES_TO_SAY_AGAIN = 60

# Dagster calls this beta; its version is pinned, and our tests use it.
warnings.filterwarnings("ignore", "Parameter `use_user_code_server`", dg.BetaWarning)

REFINED_FOLLOWS_SALES = dg.AutomationConditionSensorDefinition(
    "refined_follows_sales",
    target=dg.AssetSelection.groups("refined"),
    description="Makes refined tables and the report again after trusted sales have changed.",
    minimum_interval_seconds=SECONDS_TO_NOTICE,
    use_user_code_server=True,  # a condition is ours
)


def sensors(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """The sensors of a deployment with these settings."""
    deadline = settings.storepipe_day_deadline
    always = [REFINED_FOLLOWS_SALES, late_day(deadline), standing_list(deadline)]
    telling = [tell_of_failures, tell_of_changes] if settings.storepipe_webhook_url else []
    return [*always, *telling]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


def late_day(deadline: time, now: Callable[[], datetime] = utc_now) -> dg.SensorDefinition:
    """A sensor that notices if a day's sales are missing, or none, after the deadline.

    What the webhook does not take is told again after 1, 2, 4 ... minutes, at most 60.
    """

    @dg.sensor(
        name="late_day",
        description=f"Notices if yesterday's sales are missing, or none, at {deadline:%H:%M} UTC.",
        minimum_interval_seconds=SECONDS_TO_NOTICE,
    )
    def late_day(
        context: dg.SensorEvaluationContext,
        lake_sql: dg.ResourceParam[LakeSql],
        webhook: dg.ResourceParam[Webhook],
    ) -> dg.SensorResult | dg.SkipReason:
        time_now = now()
        day = due_day(time_now, deadline)
        known = json.loads(context.cursor or "{}")
        known = known if known.get("day") == str(day) else {}
        if known.get("arrival") == Arrival.CAME.value and known["told"]:
            return dg.SkipReason(f"{day} came.")
        arrival, check = arrival_of(day, context.instance, lake_sql)
        news = arrival.value != known.get("arrival")
        if not news and known["told"]:
            return dg.SkipReason(f"{check.description} That was noticed.")
        tries, again = (0, None) if news else (known.get("tries", 0), known.get("again"))
        if again and time_now < datetime.fromisoformat(again):
            return dg.SkipReason(f"{check.description} The webhook is told again at {again}.")
        # That a day came in time is no news for people.
        told = (arrival is Arrival.CAME and not known) or webhook.say(
            f"{check.description} It was due at {deadline:%H:%M} UTC.", context.log
        )
        cursor: dict[str, object] = {"day": str(day), "arrival": arrival.value, "told": told}
        if not told:
            pause = timedelta(minutes=min(2**tries, MOST_MINUTES_TO_SAY_AGAIN))
            cursor |= {"tries": tries + 1, "again": (time_now + pause).isoformat()}
        return dg.SensorResult(
            asset_events=[messages.evaluation(check)] if news else [], cursor=json.dumps(cursor)
        )

    return late_day


def standing_list(deadline: time, now: Callable[[], datetime] = utc_now) -> dg.SensorDefinition:
    """A sensor that keeps, on each asset that has days, the list of those failed or missing."""

    @dg.sensor(
        name="standing_list",
        description="Keeps the check every_day_is_there: which days are failed or missing, why, "
        f"and what mends it. A day is due at {deadline:%H:%M} UTC of the day after.",
        minimum_interval_seconds=SECONDS_TO_LIST,
    )
    def standing_list(
        context: dg.SensorEvaluationContext,
        lake: dg.ResourceParam[Lake],
        database: dg.ResourceParam[Database],
    ) -> dg.SensorResult | dg.SkipReason:
        graph = context.repository_def.asset_graph  # type: ignore[union-attr]
        standing = Standing(context.instance, graph, existing(graph, lake, database))
        found = results(standing, str(due_day(now(), deadline)))
        told = {key.to_user_string(): messages.evaluation(check) for key, check in found.items()}
        marks = {name: _mark(evaluation) for name, evaluation in told.items()}
        known = json.loads(context.cursor or "{}")
        news = [told[name] for name, mark in marks.items() if known.get(name) != mark]
        if not news:
            return dg.SkipReason("The list is as it was.")
        return dg.SensorResult(asset_events=news, cursor=json.dumps(marks))

    return standing_list


def _mark(evaluation: dg.AssetCheckEvaluation) -> str:
    """Short words for all that an evaluation tells; a list that is as it was is no news."""
    return hashlib.sha256(serialize_value(evaluation).encode()).hexdigest()[:16]


@dg.run_failure_sensor(
    description="Tells by the webhook that a run failed, and which of its steps.",
    minimum_interval_seconds=SECONDS_TO_NOTICE,
)
def tell_of_failures(
    context: dg.RunFailureSensorContext, webhook: dg.ResourceParam[Webhook]
) -> None:
    """Each run of this code that Dagster's daemon started and that failed."""
    run = context.dagster_run
    told = messages.failure(run, context.get_step_failure_events(), webhook.link(run.run_id))
    webhook.say(told, context.log)


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    monitored_jobs=[STORE_PIPELINE],
    description="Tells by the webhook what a scheduled run changed, and the day's revenue.",
    minimum_interval_seconds=SECONDS_TO_NOTICE,
)
def tell_of_changes(
    context: dg.RunStatusSensorContext,
    lake_sql: dg.ResourceParam[LakeSql],
    webhook: dg.ResourceParam[Webhook],
) -> dg.SkipReason | None:
    """Each scheduled run of the whole pipeline that succeeded."""
    run = context.dagster_run
    if SCHEDULE_NAME_TAG not in run.tags:
        return dg.SkipReason(f"Run {run.run_id} was not scheduled.")
    told = messages.success(context.instance, lake_sql, run, webhook.link(run.run_id))
    webhook.say(told, context.log)
    return None
