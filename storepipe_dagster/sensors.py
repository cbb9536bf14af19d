"""What Dagster's daemon watches for: changed sales, a late day, failed runs, scheduled runs.

All are off until they are switched on in the UI. Those that only tell are there only if there is a
webhook to tell by. What is told is written in ``messages``.
"""

import json
from collections.abc import Callable, Sequence
from datetime import date, datetime, time, timedelta, timezone

import dagster as dg
from dagster._core.storage.tags import SCHEDULE_NAME_TAG

from storepipe_dagster import messages
from storepipe_dagster.jobs import STORE_PIPELINE
from storepipe_dagster.layers.refined.checks import Arrival, arrival_of
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.webhook import Webhook
from storepipe_dagster.settings import Settings

ONE_DAY = timedelta(days=1)
SECONDS_TO_NOTICE = 60

REFINED_FOLLOWS_SALES = dg.AutomationConditionSensorDefinition(
    "refined_follows_sales",
    target=dg.AssetSelection.groups("refined"),
    description="Makes refined tables and the report again after trusted sales have changed.",
    minimum_interval_seconds=SECONDS_TO_NOTICE,
)


def sensors(settings: Settings) -> Sequence[dg.SensorDefinition]:
    """The sensors of a deployment with these settings."""
    always = [REFINED_FOLLOWS_SALES, late_day(settings.storepipe_day_deadline)]
    telling = [tell_of_failures, tell_of_changes] if settings.storepipe_webhook_url else []
    return [*always, *telling]


def utc_now() -> datetime:
    """The time, in UTC."""
    return datetime.now(timezone.utc)


def due_day(now: datetime, deadline: time) -> date:
    """The newest day whose deadline, on the day after it, has passed."""
    return now.date() - (ONE_DAY if now.time() >= deadline else 2 * ONE_DAY)


def late_day(deadline: time, now: Callable[[], datetime] = utc_now) -> dg.SensorDefinition:
    """A sensor that notices if a day's sales are missing, or none, after the deadline."""

    @dg.sensor(
        name="late_day",
        description=f"Notices if yesterday's sales are missing, or none, at {deadline:%H:%M} UTC.",
        minimum_interval_seconds=SECONDS_TO_NOTICE,
    )
    def late_day(
        context: dg.SensorEvaluationContext, lake_sql: LakeSql, webhook: Webhook
    ) -> dg.SensorResult | dg.SkipReason:
        day = due_day(now(), deadline)
        known = json.loads(context.cursor or "{}")
        known = known if known.get("day") == str(day) else {}
        if known.get("arrival") == Arrival.CAME.value and known["told"]:
            return dg.SkipReason(f"{day} came.")
        arrival, check = arrival_of(day, context.instance, lake_sql)
        news = arrival.value != known.get("arrival")
        if not news and known["told"]:
            return dg.SkipReason(f"{check.description} That was noticed.")
        # That a day came in time is no news for people.
        told = (arrival is Arrival.CAME and not known) or webhook.say(
            f"{check.description} It was due at {deadline:%H:%M} UTC.", context.log
        )
        cursor = {"day": str(day), "arrival": arrival.value, "told": told}
        return dg.SensorResult(
            asset_events=[messages.evaluation(check)] if news else [], cursor=json.dumps(cursor)
        )

    return late_day


@dg.run_failure_sensor(
    description="Tells by the webhook that a run failed, and which of its steps.",
    minimum_interval_seconds=SECONDS_TO_NOTICE,
)
def tell_of_failures(context: dg.RunFailureSensorContext, webhook: Webhook) -> None:
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
    context: dg.RunStatusSensorContext, lake_sql: LakeSql, webhook: Webhook
) -> dg.SkipReason | None:
    """Each scheduled run of the whole pipeline that succeeded."""
    run = context.dagster_run
    if SCHEDULE_NAME_TAG not in run.tags:
        return dg.SkipReason(f"Run {run.run_id} was not scheduled.")
    told = messages.success(context.instance, lake_sql, run, webhook.link(run.run_id))
    webhook.say(told, context.log)
    return None
