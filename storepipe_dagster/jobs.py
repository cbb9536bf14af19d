"""The jobs: selections of the asset graph for one day, or a range of days in one run."""

import dagster as dg

STORE_PIPELINE = dg.define_asset_job(
    "store_pipeline",
    selection=dg.AssetSelection.all(),
    description="Everything: captures, database, extract, trusted, refined and the report.",
)
STORE_INGEST = dg.define_asset_job(
    "store_ingest",
    selection=dg.AssetSelection.groups("raw", "mysql", "relational"),
    description="From the API to the relational extract.",
)
STORE_TRANSFORM = dg.define_asset_job(
    "store_transform",
    selection=dg.AssetSelection.groups("trusted", "refined"),
    description="From the relational extract to the metrics and the report.",
)
JOBS = [STORE_PIPELINE, STORE_INGEST, STORE_TRANSFORM]
