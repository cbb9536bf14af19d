"""When jobs run by themselves."""

import dagster as dg

from storepipe_dagster.jobs import STORE_PIPELINE

STORE_PIPELINE_DAILY = dg.build_schedule_from_partitioned_job(
    STORE_PIPELINE,
    name="store_pipeline_daily",
    description="The whole pipeline at 02:00 UTC, for the day before.",
    hour_of_day=2,
    minute_of_hour=0,
)
SCHEDULES = [STORE_PIPELINE_DAILY]
