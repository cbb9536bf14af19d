"""All assets of the layers and the checks on them, and how they hang together.

The check on the calendar of days, which knows the whole, is in ``standing_checks``.
"""

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph

from storepipe_dagster.layers.mysql import assets as mysql
from storepipe_dagster.layers.raw import assets as raw
from storepipe_dagster.layers.refined import assets as refined
from storepipe_dagster.layers.refined import checks as refined_checks
from storepipe_dagster.layers.relational import assets as relational
from storepipe_dagster.layers.relational import checks as relational_checks
from storepipe_dagster.layers.trusted import assets as trusted
from storepipe_dagster.layers.trusted import checks as trusted_checks

ASSETS = [
    asset
    for asset in dg.load_assets_from_modules([raw, mysql, relational, trusted, refined])
    if isinstance(asset, dg.AssetsDefinition)
]
CHECKS = dg.load_asset_checks_from_modules([relational_checks, trusted_checks, refined_checks])
RULES = trusted_checks.RULES | refined_checks.RULES
GRAPH = AssetGraph.from_assets(ASSETS)
