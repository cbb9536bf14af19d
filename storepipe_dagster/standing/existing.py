"""What exists of each asset in the lake and in the database, whatever Dagster's history says.

Only listings and logs are read: no rows, and nothing is created.
"""

from collections.abc import Mapping

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from storepipe_dagster.io_managers.capture_files import ACCEPTED
from storepipe_dagster.io_managers.delta_log import days_of_table
from storepipe_dagster.io_managers.lake import PARQUET_FILE, PARTITION_COLUMN, Lake
from storepipe_dagster.io_managers.pages import FILE
from storepipe_dagster.resources.database import Database
from storepipe_dagster.standing.troubles import Day

DATABASE = "mysql"  # the group of what is kept there
# A capture's time ends in Z; what was rejected or refused has another ending.
ENDINGS = {"capture_files": f"Z{ACCEPTED}", "pages": FILE, "parquet": PARQUET_FILE}
DELTA = "delta"
Existing = Mapping[dg.AssetKey, set[Day]]


def existing(graph: AssetGraph, lake: Lake, database: Database) -> Existing:
    """The days that exist of each asset; ``None`` stands for one without days."""
    loaded = database.loaded_days()
    found: dict[dg.AssetKey, set[Day]] = {}
    with lake.explained():
        for key in graph.materializable_asset_keys:
            node = graph.get(key)
            manager = node.assets_def.get_io_manager_key_for_asset_key(key)
            column = node.metadata.get(PARTITION_COLUMN)
            if node.group_name == DATABASE:
                found[key] = loaded.get(key.path[-1], set())
            elif manager == DELTA:
                found[key] = days_of_table(lake, key, column)
            elif manager in ENDINGS:
                found[key] = lake.days_with(key, column, ENDINGS[manager])
    return found
