"""When jobs run by themselves."""

import dagster as dg
from dagster._core.storage.tags import PRIORITY_TAG

from storepipe_dagster.jobs import LAKE_MAINTENANCE, STORE_PIPELINE

# Whatever waits in the queue, runs of a backfill above all, waits behind it.
BEFORE_ALL_OTHERS = {PRIORITY_TAG: "10"}

STORE_PIPELINE_DAILY = dg.build_schedule_from_partitioned_job(
    STORE_PIPELINE,
    name="store_pipeline_daily",
    description="The whole pipeline at 02:00 UTC, for the day before.",
    hour_of_day=2,
    minute_of_hour=0,
    tags=BEFORE_ALL_OTHERS,
)
LAKE_MAINTENANCE_WEEKLY = dg.ScheduleDefinition(
    name="lake_maintenance_weekly",
    description="Compaction, retention and vacuum on Sundays at 04:00 UTC.",
    job=LAKE_MAINTENANCE,
    cron_schedule="0 4 * * 0",
    execution_timezone="UTC",
)
SCHEDULES = [STORE_PIPELINE_DAILY, LAKE_MAINTENANCE_WEEKLY]
