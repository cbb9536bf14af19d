"""The metrics of the shop, computed from trusted sales, and the report on them.

Each table is one transform; where it runs is decided in ``resources.deployments``.
"""

from collections.abc import Iterator
from dataclasses import fields

import dagster as dg
import pyarrow as pa
from pydantic import Field
from pyspark.sql import DataFrame

from storepipe_dagster.asset_metadata import OWNERS, columns_of, picture, tags_of
from storepipe_dagster.automation import AFTER_ALL_CHANGES, AFTER_CHANGES
from storepipe_dagster.figures import sums_of
from storepipe_dagster.io_managers.delta_days import DailyRows
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN
from storepipe_dagster.layers.refined import schemas, transforms
from storepipe_dagster.layers.refined.report.tables import RefinedTables
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.tables import asked_for, delta_table

SALES_BY_CART = dg.AssetKey(["refined", "sales_by_cart"])
SALES_BY_PRODUCT_DAY = dg.AssetKey(["refined", "sales_by_product_day"])
BY_CART = {"carts": dg.AssetIn(SALES_BY_CART)}


@dg.multi_asset(
    name="refined__daily_sales",
    ins={"sales": dg.AssetIn(["trusted", "sales"])},
    outs={
        "sales_by_cart": delta_table(
            "refined",
            "sales_by_cart",
            schemas.SALES_BY_CART,
            "Each sold cart, with its products and categories.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
            **{PARTITION_COLUMN: "sale_date"},
            **sums_of("revenue"),
        ),
        "sales_by_product_day": delta_table(
            "refined",
            "sales_by_product_day",
            schemas.SALES_BY_PRODUCT_DAY,
            "Each product's sales of a day.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
            **{PARTITION_COLUMN: "sale_date"},
            **sums_of("revenue"),
        ),
    },
    can_subset=True,
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
)
def refined_daily_sales(
    context: dg.AssetExecutionContext, sales: DailyRows
) -> Iterator[dg.Output[DataFrame | DailyRows]]:
    """What all other refined tables are made of, day by day."""
    transform_of = {
        "sales_by_cart": transforms.sales_by_cart,
        "sales_by_product_day": transforms.sales_by_product_day,
    }
    yield from asked_for(context, {name: sales.map(made) for name, made in transform_of.items()})


@dg.asset(
    key=["refined", "sales_by_day"],
    ins=BY_CART,
    group_name="refined",
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
    io_manager_key="delta",
    automation_condition=AFTER_CHANGES,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    tags=tags_of("refined", "sales", schemas.SALES_BY_DAY),
    metadata={
        PARTITION_COLUMN: "sale_date",
        **columns_of(schemas.SALES_BY_DAY),
        **sums_of("revenue", "carts"),
    },
)
def sales_by_day(carts: DailyRows) -> DailyRows:
    """Each day's sales. Where lines are missing from a day, see ``trusted/rejected_sales``."""
    return carts.map(transforms.sales_by_day)


class AllSalesConfig(dg.Config):
    """What the tables of all days leave out."""

    min_carts_together: int = Field(
        default=2,
        ge=1,
        description="In how many carts a pair of product_affinity must be together.",
    )


@dg.multi_asset(
    name="refined__all_sales",
    ins={**BY_CART, "products": dg.AssetIn(SALES_BY_PRODUCT_DAY)},
    outs={
        "sales_by_category": delta_table(
            "refined",
            "sales_by_category",
            schemas.SALES_BY_CATEGORY,
            "All sales by category, with each category's share of the revenue.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
        ),
        "sales_by_product": delta_table(
            "refined",
            "sales_by_product",
            schemas.SALES_BY_PRODUCT,
            "All sales by product, ranked by revenue, with ABC classes.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
        ),
        "sales_by_city": delta_table(
            "refined",
            "sales_by_city",
            schemas.SALES_BY_CITY,
            "All sales by the buyers' city.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
        ),
        "customer_segments": delta_table(
            "refined",
            "customer_segments",
            schemas.CUSTOMER_SEGMENTS,
            "Customers by recency, frequency and monetary value of their carts.",
            domain="customers",
            automation_condition=AFTER_CHANGES,
        ),
        "customer_cohorts": delta_table(
            "refined",
            "customer_cohorts",
            schemas.CUSTOMER_COHORTS,
            "How many customers of each month of first sale came back, by month.",
            domain="customers",
            automation_condition=AFTER_CHANGES,
        ),
        "product_affinity": delta_table(
            "refined",
            "product_affinity",
            schemas.PRODUCT_AFFINITY,
            "Pairs of products that are in the same carts, more or less often than by chance.",
            domain="products",
            automation_condition=AFTER_CHANGES,
        ),
    },
    can_subset=True,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
)
def refined_all_sales(
    context: dg.AssetExecutionContext,
    config: AllSalesConfig,
    carts: DataFrame,
    products: DataFrame,
) -> Iterator[dg.Output[DataFrame | DailyRows]]:
    """The metrics of all sales that there are."""
    tables = {
        "sales_by_category": transforms.sales_by_category(carts, products),
        "sales_by_product": transforms.sales_by_product(carts, products),
        "sales_by_city": transforms.sales_by_city(carts),
        "customer_segments": transforms.customer_segments(carts),
        "customer_cohorts": transforms.customer_cohorts(carts),
        "product_affinity": transforms.product_affinity(carts, config.min_carts_together),
    }
    yield from asked_for(context, tables)


@dg.asset(
    key=["refined", "store_report"],
    ins={table.name: dg.AssetIn(["refined", table.name]) for table in fields(RefinedTables)},
    group_name="refined",
    io_manager_key="pages",
    automation_condition=AFTER_ALL_CHANGES,
    pool=TABLES,
    kinds={"html"},
    owners=OWNERS,
    tags=tags_of("refined", "sales"),
)
def store_report(
    context: dg.AssetExecutionContext,
    sales_by_day: pa.Table,
    sales_by_category: pa.Table,
    sales_by_product: pa.Table,
    sales_by_city: pa.Table,
    customer_segments: pa.Table,
    customer_cohorts: pa.Table,
    product_affinity: pa.Table,
) -> str:
    """The report for the shop's owner: one HTML page with charts, readable without a network."""
    from storepipe_dagster.layers.refined.report import page  # noqa: PLC0415  # slow

    tables = RefinedTables(
        sales_by_day,
        sales_by_category,
        sales_by_product,
        sales_by_city,
        customer_segments,
        customer_cohorts,
        product_affinity,
    )
    drawn = page.charts(tables)
    context.add_output_metadata(
        {name: picture(page.chart_svg(chart)) for name, chart in drawn.items()}
    )
    return page.store_report(tables, drawn)
