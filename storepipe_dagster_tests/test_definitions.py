"""Tests of `storepipe_dagster.definitions`: the graph, as a person may read it."""

from datetime import datetime, timezone

import dagster as dg
import pytest
from dagster._core.definitions.dependency import NodeHandle

from storepipe_dagster.asset_metadata import COLUMN_SCHEMA, OWNERS, PERSONAL_DATA
from storepipe_dagster.definitions import build_definitions
from storepipe_dagster.partitions import DAYS
from storepipe_dagster.pools import TABLES
from storepipe_dagster.settings import read_settings

# [day]: one partition per day
GROUPS = {
    "raw": """
        raw/carts [day]
        raw/products
        raw/users
    """,
    "mysql": """
        mysql/cart_items [day]
        mysql/carts [day]
        mysql/products
        mysql/users
    """,
    "relational": """
        raw/relational/cart_items [day]
        raw/relational/carts [day]
        raw/relational/products
        raw/relational/users
    """,
    "trusted": """
        trusted/product_prices
        trusted/rejected_sales [day]
        trusted/sales [day]
    """,
    "refined": """
        refined/customer_cohorts
        refined/customer_segments
        refined/product_affinity
        refined/sales_by_cart [day]
        refined/sales_by_category
        refined/sales_by_city
        refined/sales_by_day [day]
        refined/sales_by_product
        refined/sales_by_product_day [day]
        refined/store_report
    """,
}

EDGES = """
    raw/carts -> mysql/cart_items
    raw/carts -> mysql/carts
    raw/products -> mysql/products
    raw/users -> mysql/users

    mysql/cart_items -> raw/relational/cart_items
    mysql/carts -> raw/relational/carts
    mysql/products -> raw/relational/products
    mysql/users -> raw/relational/users

    raw/products -> trusted/product_prices
    raw/relational/cart_items -> trusted/rejected_sales
    raw/relational/carts -> trusted/rejected_sales
    raw/relational/products -> trusted/rejected_sales
    raw/relational/users -> trusted/rejected_sales
    trusted/product_prices -> trusted/rejected_sales
    raw/relational/cart_items -> trusted/sales
    raw/relational/carts -> trusted/sales
    raw/relational/products -> trusted/sales
    raw/relational/users -> trusted/sales
    trusted/product_prices -> trusted/sales

    trusted/sales -> refined/sales_by_cart
    trusted/sales -> refined/sales_by_product_day

    refined/sales_by_cart -> refined/customer_cohorts
    refined/sales_by_cart -> refined/customer_segments
    refined/sales_by_cart -> refined/product_affinity
    refined/sales_by_cart -> refined/sales_by_category
    refined/sales_by_cart -> refined/sales_by_city
    refined/sales_by_cart -> refined/sales_by_day
    refined/sales_by_cart -> refined/sales_by_product
    refined/sales_by_product_day -> refined/customer_cohorts
    refined/sales_by_product_day -> refined/customer_segments
    refined/sales_by_product_day -> refined/product_affinity
    refined/sales_by_product_day -> refined/sales_by_category
    refined/sales_by_product_day -> refined/sales_by_city
    refined/sales_by_product_day -> refined/sales_by_product

    refined/customer_cohorts -> refined/store_report
    refined/customer_segments -> refined/store_report
    refined/product_affinity -> refined/store_report
    refined/sales_by_category -> refined/store_report
    refined/sales_by_city -> refined/store_report
    refined/sales_by_day -> refined/store_report
    refined/sales_by_product -> refined/store_report
"""

CHECKS = """
    raw/carts: every_day_is_there
    raw/carts: few_records_are_rejected
    raw/carts: needed_fields_are_there
    raw/carts: no_records_vanish
    raw/products: few_records_are_rejected
    raw/products: needed_fields_are_there
    raw/products: no_records_vanish
    raw/users: few_records_are_rejected
    raw/users: needed_fields_are_there
    raw/users: no_records_vanish

    mysql/cart_items: every_captured_record_is_loaded
    mysql/cart_items: every_day_is_there
    mysql/carts: every_captured_record_is_loaded
    mysql/carts: every_day_is_there
    mysql/products: every_captured_record_is_loaded
    mysql/users: every_captured_record_is_loaded

    raw/relational/cart_items: every_day_is_there
    raw/relational/cart_items: every_row_of_the_database_is_extracted
    raw/relational/carts: every_day_is_there
    raw/relational/carts: every_row_of_the_database_is_extracted
    raw/relational/products: every_row_of_the_database_is_extracted
    raw/relational/users: every_row_of_the_database_is_extracted

    trusted/product_prices: every_known_product_has_a_history
    trusted/product_prices: every_moment_has_one_price
    trusted/product_prices: no_price_is_negative
    trusted/rejected_sales: every_day_is_there
    trusted/rejected_sales: every_line_came_with_its_cart
    trusted/rejected_sales: every_rejected_line_has_a_known_reason
    trusted/sales: every_captured_line_is_sold_or_rejected
    trusted/sales: every_day_is_there
    trusted/sales: every_line_is_sold_once
    trusted/sales: few_lines_are_rejected
    trusted/sales: not_nearly_all_lines_are_rejected
    trusted/sales: revenue_is_price_times_quantity_and_never_negative

    refined/customer_cohorts: every_key_stands_once
    refined/customer_cohorts: no_day_is_missing
    refined/customer_segments: every_key_stands_once
    refined/customer_segments: no_day_is_missing
    refined/customer_segments: the_totals_equal_trusted_sales
    refined/product_affinity: every_key_stands_once
    refined/product_affinity: no_day_is_missing
    refined/sales_by_cart: every_day_equals_trusted_sales
    refined/sales_by_cart: every_day_is_there
    refined/sales_by_cart: every_key_stands_once
    refined/sales_by_category: every_key_stands_once
    refined/sales_by_category: no_day_is_missing
    refined/sales_by_category: the_totals_equal_trusted_sales
    refined/sales_by_city: every_key_stands_once
    refined/sales_by_city: no_day_is_missing
    refined/sales_by_city: the_totals_equal_trusted_sales
    refined/sales_by_day: every_day_equals_trusted_sales
    refined/sales_by_day: every_day_is_there
    refined/sales_by_day: no_day_is_far_below_the_week_before
    refined/sales_by_day: the_due_day_is_there
    refined/sales_by_product: every_key_stands_once
    refined/sales_by_product: no_day_is_missing
    refined/sales_by_product: the_totals_equal_trusted_sales
    refined/sales_by_product_day: every_day_equals_trusted_sales
    refined/sales_by_product_day: every_day_is_there
    refined/sales_by_product_day: every_key_stands_once
"""

# The others stop what is downstream.
WARNINGS = """
    mysql/cart_items: every_day_is_there
    mysql/carts: every_day_is_there
    raw/carts: every_day_is_there
    raw/relational/cart_items: every_day_is_there
    raw/relational/carts: every_day_is_there
    refined/customer_cohorts: no_day_is_missing
    refined/customer_segments: no_day_is_missing
    refined/product_affinity: no_day_is_missing
    refined/sales_by_cart: every_day_is_there
    refined/sales_by_category: no_day_is_missing
    refined/sales_by_city: no_day_is_missing
    refined/sales_by_day: every_day_is_there
    refined/sales_by_day: no_day_is_far_below_the_week_before
    refined/sales_by_day: the_due_day_is_there
    refined/sales_by_product: no_day_is_missing
    refined/sales_by_product_day: every_day_is_there
    trusted/rejected_sales: every_day_is_there
    trusted/sales: every_day_is_there
    trusted/sales: few_lines_are_rejected
"""

JOBS = {
    "store_pipeline": ["raw", "mysql", "relational", "trusted", "refined"],
    "store_ingest": ["raw", "mysql", "relational"],
    "store_transform": ["trusted", "refined"],
}

OP_JOBS = {"roll_back_table": "roll_back_table", "lake_maintenance": "maintain_lake"}

KINDS = {
    "raw": {"json"},
    "mysql": {"mysql"},
    "relational": {"parquet"},
    "trusted": {"pyspark", "deltalake"},
    "refined": {"pyspark", "deltalake"},
}

DATABASE_PERSONAL = [
    "username",
    "first_name",
    "last_name",
    "email",
    "phone",
    "street",
    "street_number",
    "zipcode",
    "latitude",
    "longitude",
]
PERSONAL = {
    "raw/users": ["email", "username", "name", "phone", "address"],
    "mysql/users": DATABASE_PERSONAL,
    "raw/relational/users": DATABASE_PERSONAL,
}

# What assets are found by in the UI, as tag:domain=sales.
DOMAINS = {
    "products": """
        mysql/products
        raw/products
        raw/relational/products
        refined/product_affinity
        trusted/product_prices
    """,
    "customers": """
        mysql/users
        raw/relational/users
        raw/users
        refined/customer_cohorts
        refined/customer_segments
    """,
    "sales": """
        mysql/cart_items
        mysql/carts
        raw/carts
        raw/relational/cart_items
        raw/relational/carts
        refined/sales_by_cart
        refined/sales_by_category
        refined/sales_by_city
        refined/sales_by_day
        refined/sales_by_product
        refined/sales_by_product_day
        refined/store_report
        trusted/rejected_sales
        trusted/sales
    """,
}

REPORT = "refined/store_report"


@pytest.fixture(scope="module")
def defs(tmp_path_factory):
    return build_definitions(read_settings(storepipe_home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def assets(defs):
    """The nodes of the graph by key."""
    graph = defs.resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in sorted(graph.get_all_asset_keys())}


def lines(text):
    return sorted(line.strip() for line in text.splitlines() if line.strip())


@pytest.mark.parametrize("group", GROUPS)
def test_a_layer_has_these_assets_and_these_of_them_by_day(assets, group):
    of_group = [
        key + (" [day]" if asset.is_partitioned else "")
        for key, asset in assets.items()
        if asset.group_name == group
    ]

    assert of_group == lines(GROUPS[group])


def test_there_are_no_other_layers(assets):
    assert {asset.group_name for asset in assets.values()} == set(GROUPS)


def test_the_flow_is_raw_mysql_relational_trusted_refined(assets):
    edges = [
        f"{parent.to_user_string()} -> {key}"
        for key, asset in assets.items()
        for parent in asset.parent_keys
    ]

    assert sorted(edges) == lines(EDGES)


def test_every_asset_by_day_has_the_same_days_and_makes_a_range_in_one_run(assets):
    by_day = [asset for asset in assets.values() if asset.is_partitioned]

    assert {asset.partitions_def for asset in by_day} == {DAYS}
    assert {asset.backfill_policy for asset in by_day} == {dg.BackfillPolicy.single_run()}


def test_the_first_day_is_in_the_month_before_the_public_stores_first_cart():
    assert DAYS.get_first_partition_key() == "2019-12-01"
    assert DAYS.timezone == "UTC"


def test_every_asset_tells_what_it_is_who_keeps_it_and_as_what(assets):
    assert [key for key, asset in assets.items() if not asset.description] == []
    assert [key for key, asset in assets.items() if asset.owners != OWNERS] == []
    assert {key: asset.kinds for key, asset in assets.items()} == {
        key: {"html"} if key == REPORT else KINDS[asset.group_name] for key, asset in assets.items()
    }


def test_every_table_describes_each_of_its_columns(assets):
    columns = {
        key: asset.metadata[COLUMN_SCHEMA].columns
        for key, asset in assets.items()
        if COLUMN_SCHEMA in asset.metadata
    }

    assert set(assets) - set(columns) == {REPORT}
    assert all(columns.values())
    assert [
        f"{key}.{column.name}"
        for key, of_table in columns.items()
        for column in of_table
        if not column.description
    ] == []


def tagged(assets, name, value):
    return [key for key, asset in assets.items() if asset.tags.get(name) == value]


def test_assets_are_found_by_layer_domain_and_personal_data(assets):
    for domain, of_domain in DOMAINS.items():
        assert tagged(assets, "domain", domain) == lines(of_domain)
    for group in GROUPS:
        of_group = [key for key, asset in assets.items() if asset.group_name == group]
        assert tagged(assets, "layer", group) == of_group
    assert tagged(assets, "personal_data", "true") == sorted(PERSONAL)


def test_personal_data_is_tagged_and_stops_at_the_extract(assets):
    tagged = {
        key: [column.name for column in asset.metadata[COLUMN_SCHEMA].columns if column.tags]
        for key, asset in assets.items()
        if key != REPORT
    }

    assert {key: names for key, names in tagged.items() if names} == PERSONAL
    assert {
        tuple(column.tags.items())
        for key in PERSONAL
        for column in assets[key].metadata[COLUMN_SCHEMA].columns
        if column.tags
    } == {tuple(PERSONAL_DATA.items())}


def test_no_table_has_a_password(assets):
    names = {
        column.name.casefold()
        for key, asset in assets.items()
        if key != REPORT
        for column in asset.metadata[COLUMN_SCHEMA].columns
    }

    assert [name for name in names if "password" in name] == []


def test_these_checks_stop_what_is_downstream(defs):
    graph = defs.resolve_asset_graph()
    keys = sorted(graph.asset_check_keys)

    assert [f"{key.asset_key.to_user_string()}: {key.name}" for key in keys] == lines(CHECKS)
    assert [
        f"{key.asset_key.to_user_string()}: {key.name}"
        for key in keys
        if not graph.get(key).blocking
    ] == lines(WARNINGS)


def test_no_check_has_days_that_the_ui_would_show_as_skipped(defs):
    graph = defs.resolve_asset_graph()

    assert [key for key in graph.asset_check_keys if graph.get(key).partitions_def] == []


def test_every_check_job_and_schedule_tells_what_it_is_about(defs):
    graph = defs.resolve_asset_graph()
    checks = [graph.get(key) for key in sorted(graph.asset_check_keys)]
    jobs = [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]

    assert [check.key.name for check in checks if not check.description] == []
    assert [told.name for told in [*jobs, *defs.schedules] if not told.description] == []


def test_there_are_these_jobs_for_days(defs):
    jobs = [job for job in defs.resolve_all_job_defs() if not job.name.startswith("__")]

    assert {job.name for job in jobs} == {*JOBS, *OP_JOBS}
    assert {job.partitions_def for job in jobs if job.name in JOBS} == {DAYS}


def scalars_of(config_type, path=()):
    """The settings of a run configuration, with the key of the type of each."""
    if hasattr(config_type, "fields"):
        for name, field in config_type.fields.items():
            yield from scalars_of(field.config_type, (*path, name))
    elif hasattr(config_type, "inner_type"):
        yield from scalars_of(config_type.inner_type, path)
    else:
        yield ".".join(path), config_type.key


@pytest.mark.parametrize("name", [*JOBS, *OP_JOBS])
def test_a_run_cannot_take_a_text_from_the_environment(defs, name):
    schema = defs.resolve_job_def(name).run_config_schema.run_config_schema_type
    assert "StringSourceType" not in dict(scalars_of(schema)).values()


@pytest.mark.parametrize("name", OP_JOBS)
def test_a_job_on_the_history_of_tables_has_one_op_that_waits_for_the_tables(defs, name):
    pools = {node.name: node.definition.pool for node in defs.resolve_job_def(name).graph.nodes}

    assert pools.pop(OP_JOBS[name]) == TABLES
    assert pools in ({}, {"validate_table": None})


@pytest.mark.parametrize("name", JOBS)
def test_a_job_makes_these_layers_with_their_checks(defs, assets, name):
    layer = defs.resolve_job_def(name).asset_layer
    made = {key.to_user_string() for key in layer.selected_asset_keys}

    assert made == {key for key, asset in assets.items() if asset.group_name in JOBS[name]}
    checked = {key.asset_key.to_user_string() for key in layer.asset_graph.asset_check_keys}
    assert checked == made - {REPORT}


def test_no_step_has_a_retry_policy(defs):
    steps = [(job, node.name) for job in defs.resolve_all_job_defs() for node in job.nodes]

    assert {name for _, name in steps} >= {"raw__products", "refined_checks", "standing_checks"}
    assert [
        name for job, name in steps if job.get_retry_policy_for_handle(NodeHandle(name, None))
    ] == []


def test_the_schedule_asks_at_two_utc_for_the_day_before(defs):
    schedule = defs.resolve_schedule_def("store_pipeline_daily")

    assert len(list(defs.schedules)) == 2
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 2 * * *", "UTC")
    assert schedule.job_name == "store_pipeline"
    tick = dg.build_schedule_context(
        scheduled_execution_time=datetime(2024, 3, 1, 2, tzinfo=timezone.utc)
    )
    (request,) = schedule.evaluate_tick(tick).run_requests
    assert request.partition_key == "2024-02-29"
    assert request.tags["dagster/priority"] == "10"


def test_the_lake_is_maintained_on_sundays_once_somebody_switches_it_on(defs):
    schedule = defs.resolve_schedule_def("lake_maintenance_weekly")

    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 4 * * 0", "UTC")
    assert schedule.job_name == "lake_maintenance"
    assert schedule.default_status == dg.DefaultScheduleStatus.STOPPED


def test_the_definitions_are_valid(defs):
    dg.Definitions.validate_loadable(defs)  # raises if not
    assert defs.resolve_asset_graph().materializable_asset_keys
