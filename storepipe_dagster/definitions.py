"""Everything that Dagster loads: the asset graph, its checks, jobs, schedules and resources."""

import dagster as dg

from storepipe_dagster.jobs import JOBS
from storepipe_dagster.layers.mysql import assets as mysql
from storepipe_dagster.layers.raw import assets as raw
from storepipe_dagster.layers.refined import assets as refined
from storepipe_dagster.layers.refined import checks as refined_checks
from storepipe_dagster.layers.relational import assets as relational
from storepipe_dagster.layers.relational import checks as relational_checks
from storepipe_dagster.layers.trusted import assets as trusted
from storepipe_dagster.layers.trusted import checks as trusted_checks
from storepipe_dagster.resources import deployments
from storepipe_dagster.schedules import SCHEDULES
from storepipe_dagster.sensors import sensors
from storepipe_dagster.settings import Settings
from storepipe_dagster.settings import settings as read_settings
from storepipe_dagster.standing_checks import standing_checks


def build_definitions(settings: Settings) -> dg.Definitions:
    """The asset graph on the resources of the deployment that the settings name."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([raw, mysql, relational, trusted, refined]),
        asset_checks=[
            *dg.load_asset_checks_from_modules([relational_checks, trusted_checks, refined_checks]),
            standing_checks,
        ],
        jobs=JOBS,
        schedules=SCHEDULES,
        sensors=sensors(settings),
        resources=deployments.resources(settings),
        executor=deployments.executor(settings),
    )


defs = build_definitions(read_settings())
