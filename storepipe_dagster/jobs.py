"""The jobs: selections of the asset graph for one day, or a range of days in one run.

Two are about the history of tables instead: going back, and keeping it in order.
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from storepipe_dagster.graph import CHECKS, GRAPH
from storepipe_dagster.history.ops import maintain_lake, roll_back_job
from storepipe_dagster.layers.refined.checks import THE_DUE_DAY
from storepipe_dagster.standing_checks import standing_checks

# These are about the calendar, and no news in a run about other days.
CALENDAR = dg.AssetSelection.checks(THE_DUE_DAY, *standing_checks.check_keys)
STORE_PIPELINE = dg.define_asset_job(
    "store_pipeline",
    selection=dg.AssetSelection.all() - CALENDAR,
    description="Everything: captures, database, extract, trusted, refined and the report.",
)
STORE_INGEST = dg.define_asset_job(
    "store_ingest",
    selection=dg.AssetSelection.groups("raw", "mysql", "relational") - CALENDAR,
    description="From the API to the relational extract.",
)
STORE_TRANSFORM = dg.define_asset_job(
    "store_transform",
    selection=dg.AssetSelection.groups("trusted", "refined") - CALENDAR,
    description="From the relational extract to the metrics and the report.",
)
ROLL_BACK_TABLE = roll_back_job(
    GRAPH,
    CHECKS,
    # What the launchpad opens with, to be filled in; nothing is rolled back before it is.
    {"ops": {"roll_back_table": {"config": {"table": "", "version": None, "time": None}}}},
)
LAKE_MAINTENANCE = dg.GraphDefinition(
    "lake_maintenance",
    node_defs=[maintain_lake],
    description="Compacts and vacuums the Delta tables; 30 days of versions are kept.",
).to_job()
JOBS: Sequence[Any] = [
    STORE_PIPELINE,
    STORE_INGEST,
    STORE_TRANSFORM,
    ROLL_BACK_TABLE,
    LAKE_MAINTENANCE,
]
