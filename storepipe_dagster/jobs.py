"""The jobs: selections of the asset graph for one day, or a range of days in one run."""

import dagster as dg

from storepipe_dagster.partitions import DAYS

STORE_PIPELINE = dg.define_asset_job(
    "store_pipeline",
    selection=dg.AssetSelection.all(),
    partitions_def=DAYS,
    description="Everything: captures, database, extract, trusted, refined and the report.",
)
STORE_INGEST = dg.define_asset_job(
    "store_ingest",
    selection=dg.AssetSelection.groups("raw", "mysql", "relational"),
    partitions_def=DAYS,
    description="From the API to the relational extract.",
)
STORE_TRANSFORM = dg.define_asset_job(
    "store_transform",
    selection=dg.AssetSelection.groups("trusted", "refined"),
    partitions_def=DAYS,
    description="From the relational extract to the metrics and the report.",
)
JOBS = [STORE_PIPELINE, STORE_INGEST, STORE_TRANSFORM]
