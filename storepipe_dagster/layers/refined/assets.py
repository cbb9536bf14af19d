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
from storepipe_dagster.io_managers.day_summaries import DaySummary, SummarisedDays
from storepipe_dagster.io_managers.delta_days import DailyRows
from storepipe_dagster.io_managers.lake import PARTITION_COLUMN
from storepipe_dagster.layers.refined import schemas, summaries, transforms
from storepipe_dagster.layers.refined.report.tables import RefinedTables
from storepipe_dagster.partitions import DAYS, SINGLE_RUN
from storepipe_dagster.pools import TABLES
from storepipe_dagster.small_charts import chart_of
from storepipe_dagster.tables import asked_for, delta_table

SALES = {"sales": dg.AssetIn(["trusted", "sales"], input_manager_key="day_summaries")}
CARTS = DaySummary("carts", schemas.CARTS, summaries.carts, summaries.DEFINITION)
PRODUCT_DAYS = DaySummary(
    "product_days", schemas.PRODUCT_DAYS, summaries.product_days, summaries.DEFINITION
)


@dg.asset(
    key=["refined", "sales_by_day"],
    ins=SALES,
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
        **chart_of("line", "sale_date", "revenue"),
        **sums_of("revenue", "carts"),
    },
)
def sales_by_day(sales: SummarisedDays) -> DailyRows:
    """Each day's sales. Where lines are missing from a day, see ``trusted/rejected_sales``."""
    carts = sales.by_day(CARTS)
    return DailyRows(lambda days: transforms.sales_by_day(carts.of(days)))


@dg.multi_asset(
    name="refined__all_sales",
    ins=SALES,
    outs={
        "sales_by_category": delta_table(
            "refined",
            "sales_by_category",
            schemas.SALES_BY_CATEGORY,
            "All sales by category, with each category's share of the revenue.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
            **chart_of("bars", "category", "revenue"),
        ),
        "sales_by_product": delta_table(
            "refined",
            "sales_by_product",
            schemas.SALES_BY_PRODUCT,
            "All sales by product, ranked by revenue, with ABC classes.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
            **chart_of("bars", "product_title", "revenue"),
        ),
        "sales_by_city": delta_table(
            "refined",
            "sales_by_city",
            schemas.SALES_BY_CITY,
            "All sales by the buyers' city.",
            domain="sales",
            automation_condition=AFTER_CHANGES,
            **chart_of("bars", "city", "revenue"),
        ),
        "customer_segments": delta_table(
            "refined",
            "customer_segments",
            schemas.CUSTOMER_SEGMENTS,
            "Customers by recency, frequency and monetary value of their carts.",
            domain="customers",
            automation_condition=AFTER_CHANGES,
            **chart_of("bars", "segment"),
        ),
        "customer_cohorts": delta_table(
            "refined",
            "customer_cohorts",
            schemas.CUSTOMER_COHORTS,
            "How many customers of each month of first sale came back, by month.",
            domain="customers",
            automation_condition=AFTER_CHANGES,
            **chart_of("line", "months_since_first", "customers"),
        ),
    },
    can_subset=True,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
)
def refined_all_sales(
    context: dg.AssetExecutionContext, sales: SummarisedDays
) -> Iterator[dg.Output[DataFrame | DailyRows]]:
    """The metrics of all sales that there are."""
    carts, product_days = sales.of(CARTS), sales.of(PRODUCT_DAYS)
    tables = {
        "sales_by_category": transforms.sales_by_category(carts, product_days),
        "sales_by_product": transforms.sales_by_product(carts, product_days),
        "sales_by_city": transforms.sales_by_city(carts),
        "customer_segments": transforms.customer_segments(carts),
        "customer_cohorts": transforms.customer_cohorts(carts),
    }
    yield from asked_for(context, tables)


class AffinityConfig(dg.Config):
    """Which pairs are worth a row."""

    min_carts_together: int = Field(
        default=2, ge=1, description="In how many carts a pair must stand together."
    )


@dg.asset(
    key=["refined", "product_affinity"],
    ins=SALES,
    group_name="refined",
    io_manager_key="delta",
    automation_condition=AFTER_CHANGES,
    pool=TABLES,
    required_resource_keys={"step_launcher"},
    kinds={"pyspark", "deltalake"},
    owners=OWNERS,
    tags=tags_of("refined", "products", schemas.PRODUCT_AFFINITY),
    metadata={
        **columns_of(schemas.PRODUCT_AFFINITY),
        **chart_of("bars", "product_id + other_product_id", "carts_together"),
    },
)
def product_affinity(config: AffinityConfig, sales: SummarisedDays) -> DataFrame:
    """Pairs of products that stand in the same carts, more or less often than by chance."""
    return transforms.product_affinity(sales.of(CARTS), config.min_carts_together)


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
