"""Where each column comes from: the lineage that the layers' schemas tell, followed to the API."""

import dagster as dg
import pytest

from storepipe_dagster.asset_metadata import COLUMN_LINEAGE, COLUMN_SCHEMA
from storepipe_dagster.definitions import build_definitions
from storepipe_dagster.settings import read_settings

REPORT = "refined/store_report"
CAPTURED = {"raw/products", "raw/users", "raw/carts"}

# A line for each table: what a column is made of, one step up and at the very beginning.
ONE_STEP = """
    mysql/products.unit_price <- raw/products:price
    mysql/users.city <- raw/users:address
    mysql/users.first_name <- raw/users:name
    mysql/carts.sold_at <- raw/carts:date
    mysql/cart_items.quantity <- raw/carts:products

    raw/relational/products.rating_count <- mysql/products:rating_count
    raw/relational/users.email <- mysql/users:email
    raw/relational/carts.occurrence <- mysql/carts:occurrence
    raw/relational/cart_items.line_number <- mysql/cart_items:line_number

    trusted/product_prices.unit_price <- raw/products:price
    trusted/sales.sale_date <- raw/relational/cart_items:cart_date
    trusted/sales.city <- raw/relational/users:city
    trusted/sales.category <- trusted/product_prices:category
    trusted/sales.revenue <- raw/relational/cart_items:quantity, trusted/product_prices:unit_price
    trusted/rejected_sales.user_id <- raw/relational/carts:user_id

    refined/sales_by_cart.lines <- trusted/sales:line_number
    refined/sales_by_cart.product_ids <- trusted/sales:product_id
    refined/sales_by_product_day.units <- trusted/sales:quantity
    refined/sales_by_day.revenue <- refined/sales_by_cart:revenue
    refined/sales_by_day.carts <- refined/sales_by_cart:cart_id, refined/sales_by_cart:sale_date
    refined/sales_by_category.units <- refined/sales_by_product_day:units
    refined/sales_by_category.customers <- refined/sales_by_cart:user_id
    refined/sales_by_product.abc_class <- refined/sales_by_product_day:revenue
    refined/sales_by_city.customers <- refined/sales_by_cart:user_id
    refined/customer_segments.monetary <- refined/sales_by_cart:revenue
    refined/customer_cohorts.retention <- refined/sales_by_cart:user_id
    refined/product_affinity.other_product_id <- refined/sales_by_cart:product_ids
"""

TO_THE_BEGINNING = """
    refined/sales_by_day.revenue <- raw/carts:products, raw/products:price
    refined/sales_by_category.category <- raw/products:category
    refined/sales_by_product.product_title <- raw/products:title
    refined/sales_by_city.city <- raw/users:address
    refined/customer_segments.recency_days <- raw/carts:date
    refined/customer_segments.user_id <- raw/carts:userId
    refined/customer_cohorts.cohort_size <- raw/carts:userId
    refined/product_affinity.product_id <- raw/carts:products
    trusted/rejected_sales.quantity <- raw/carts:products
    trusted/sales.unit_price <- raw/products:price
"""


def lines(text):
    """Pairs of a column, and the list of what it is made of."""
    return [
        (column, made_of.split(", "))
        for column, _, made_of in (
            line.strip().partition(" <- ") for line in text.splitlines() if line.strip()
        )
    ]


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """The nodes of the graph by key."""
    home = tmp_path_factory.mktemp("home")
    graph = build_definitions(read_settings(storepipe_home=home)).resolve_asset_graph()
    return {key.to_user_string(): graph.get(key) for key in sorted(graph.get_all_asset_keys())}


@pytest.fixture(scope="module")
def columns(assets):
    """The names of each table's columns."""
    return {
        key: [column.name for column in asset.metadata[COLUMN_SCHEMA].columns]
        for key, asset in assets.items()
        if key != REPORT
    }


@pytest.fixture(scope="module")
def origins(assets):
    """Of each table's columns that have a lineage, what they are made of."""
    return {
        key: {
            column: [f"{dep.asset_key.to_user_string()}:{dep.column_name}" for dep in deps]
            for column, deps in asset.metadata[COLUMN_LINEAGE].deps_by_column.items()
        }
        for key, asset in assets.items()
        if COLUMN_LINEAGE in asset.metadata
    }


def beginnings(origins, table, column):
    """The captured columns that a column comes from, by all ways."""
    if table in CAPTURED:
        return {f"{table}:{column}"}
    return {
        beginning
        for origin in origins[table][column]
        for beginning in beginnings(origins, *origin.split(":"))
    }


def test_every_column_of_every_table_but_the_captures_has_a_lineage(columns, origins):
    assert {table: [*of_table] for table, of_table in origins.items()} == {
        table: names for table, names in columns.items() if table not in CAPTURED
    }


def test_what_a_column_is_made_of_is_a_column_of_a_table_that_its_own_depends_on(
    assets, columns, origins
):
    parents = {
        key: {parent.to_user_string() for parent in asset.parent_keys}
        for key, asset in assets.items()
    }
    wrong = [
        f"{table}.{column} <- {origin}"
        for table, of_table in origins.items()
        for column, of_column in of_table.items()
        for origin in of_column
        for upstream, _, name in [origin.partition(":")]
        if upstream not in parents[table] or name not in columns[upstream]
    ]

    assert wrong == []


def test_every_column_leads_back_to_what_the_api_gave(columns, origins):
    for table, of_table in origins.items():
        for column in of_table:
            found = beginnings(origins, table, column)
            assert found, f"{table}.{column}"
            assert all(name in columns[captured] for captured, name in map(split, found))


def split(origin):
    captured, _, name = origin.partition(":")
    return captured, name


@pytest.mark.parametrize(("column", "made_of"), lines(ONE_STEP))
def test_a_column_is_made_of(origins, column, made_of):
    table, _, name = column.partition(".")

    assert origins[table][name] == made_of


def test_each_table_has_an_example_above(origins):
    assert {column.partition(".")[0] for column, _ in lines(ONE_STEP)} == set(origins)


@pytest.mark.parametrize(("column", "made_of"), lines(TO_THE_BEGINNING))
def test_a_column_comes_from_the_answers_of_the_api(origins, column, made_of):
    assert sorted(beginnings(origins, *column.split("."))) == made_of


def test_personal_data_is_made_of_personal_data_only_and_only_the_city_is_made_plain(
    assets, columns, origins
):
    personal = {
        f"{table}:{column.name}"
        for table in columns
        for column in assets[table].metadata[COLUMN_SCHEMA].columns
        if column.tags
    }
    made_plain = {
        f"{table}:{column}"
        for table, of_table in origins.items()
        for column, of_column in of_table.items()
        if f"{table}:{column}" not in personal and set(of_column) & personal
    }
    from_plain = {
        f"{table}:{column}"
        for table, of_table in origins.items()
        for column, of_column in of_table.items()
        if f"{table}:{column}" in personal and not set(of_column) <= personal
    }

    assert made_plain == {"mysql/users:city"}
    assert from_plain == set()


def test_what_is_shown_is_the_lineage_that_dagster_knows(assets, origins):
    for table, of_table in origins.items():
        shown = assets[table].metadata["column_lineage"]
        assert isinstance(shown, dg.TableMetadataValue)
        assert [(record.data["column"], record.data["made of"]) for record in shown.records] == [
            (column, ", ".join(of_column)) for column, of_column in of_table.items()
        ]
