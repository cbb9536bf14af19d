"""Everything that Dagster loads: the asset graph, its checks, jobs, schedules and resources."""

import dagster as dg

from storepipe_dagster.graph import ASSETS, CHECKS
from storepipe_dagster.jobs import JOBS
from storepipe_dagster.leases import leasing_executor
from storepipe_dagster.process import prepare_process
from storepipe_dagster.resources import deployments
from storepipe_dagster.schedules import SCHEDULES
from storepipe_dagster.sensors import sensors
from storepipe_dagster.settings import Settings
from storepipe_dagster.settings import settings as read_settings
from storepipe_dagster.standing_checks import standing_checks


def build_definitions(settings: Settings) -> dg.Definitions:
    """The asset graph on the resources of the deployment that the settings name."""
    return dg.Definitions(
        assets=ASSETS,
        asset_checks=[*CHECKS, standing_checks],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=sensors(settings),
        resources=deployments.resources(settings),
        # One process per run: its steps share one Spark session and one import of everything.
        executor=leasing_executor,
    )


defs = build_definitions(read_settings())

# Code servers and run workers begin here.
prepare_process()
