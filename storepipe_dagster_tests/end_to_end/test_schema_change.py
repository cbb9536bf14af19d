"""The store changes what it sends, or we change what we keep: what happens, and what is told."""

import json
from dataclasses import replace

import dagster as dg
import deltalake
import pyarrow as pa
import pytest

from storepipe_dagster.store.folder import FolderShop
from storepipe_dagster.store.server import running_store
from storepipe_dagster_tests.end_to_end.commands import Home

PRODUCTS = [
    {"id": n, "title": f"Hat {n}", "price": n + 0.5, "category": "hats", "description": "warm"}
    for n in range(1, 13)
]
USERS = [
    {"id": n, "email": f"u{n}@example.com", "password": "p", "address": {"city": "rome"}}
    for n in range(1, 13)
]
CARTS = [
    {
        "id": n,
        "userId": n,
        "date": f"2020-01-0{1 + n % 2}T10:00:00Z",
        "products": [{"productId": n, "quantity": 2}],
    }
    for n in range(1, 13)
]


TABLES = 'not key:"refined/store_report"'


def each(records, **change):
    """The records with fields renamed, dropped (None) or made by a function."""
    changed = []
    for record in records:
        new = dict(record)
        for name, how in change.items():
            value = new.pop(name)
            if callable(how):
                new[name] = how(value)
            elif how is not None:
                new[how] = value
        changed.append(new)
    return changed


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """Serves lists of records."""
    folder = tmp_path_factory.mktemp("shop")

    def serve(products=PRODUCTS, users=USERS, carts=CARTS):
        for name, records in (("products", products), ("users", users), ("carts", carts)):
            (folder / f"{name}.json").write_text(json.dumps(records))
        return running_store(FolderShop(folder))

    return serve


@pytest.fixture(scope="module")
def home(tmp_path_factory, store):
    """A home with two days of a store that sends what is expected."""
    with store() as url:
        home = Home(tmp_path_factory.mktemp("home"), url)
        home.run("2020-01-01", "2020-01-02", "--select", TABLES)
    return home


def run_again(home, url, *options):
    home = replace(home, api_url=url)
    return home.command("run", "--from", "2020-01-01", "--to", "2020-01-02", *options)


def rows_of(home):
    """Every row of every table, whatever the order of the columns."""
    return {
        name: sorted(json.dumps(row, sort_keys=True) for row in rows)
        for name, rows in home.tables().items()
    }


@pytest.fixture
def told(home, monkeypatch):
    """The metadata of the newest capture of products, in Dagster."""
    monkeypatch.setenv("DAGSTER_HOME", str(home.path / "dagster"))

    def metadata():
        with dg.DagsterInstance.get() as instance:
            event = instance.get_latest_materialization_event(dg.AssetKey(["raw", "products"]))
        return {name: entry.value for name, entry in event.asset_materialization.metadata.items()}

    return metadata


def test_a_field_that_is_added_is_kept_in_raw_and_told_and_changes_nothing_else(home, store, told):
    before = rows_of(home)
    with store(products=[{**product, "colour": "red"} for product in PRODUCTS]) as url:
        done = run_again(home, url, "--select", f'key:"raw/products"+ and {TABLES}')
    assert done.returncode == 0, done.stderr
    newest = home.matching("raw/products/[0-9]*.json")[-1]
    assert json.loads(home.read(newest))[0]["colour"] == "red"
    assert rows_of(home) == before
    assert told()["unknown_fields"] == ["colour"]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        pytest.param(
            {"products": each(PRODUCTS, price=str)},
            "12 of 12 records break their contract",
            id="type",
        ),
        pytest.param(
            {"products": each(PRODUCTS, title="name")},
            "12 of 12 records break their contract",
            id="required",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"products": each(PRODUCTS, price="unit_price")},
            "No record has price any more. New to us: unit_price.",
            id="price",
        ),
        pytest.param(
            {"users": each(USERS, address="place")},
            "No record has address.city any more.",
            id="city",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"carts": each(CARTS, userId="buyer")}, "No record has userId any more.", id="buyer"
        ),
    ],
)
def test_a_change_that_sales_cannot_bear_stops_the_run_and_leaves_all_as_it_was(
    home, store, changed, told
):
    [table] = changed
    before, refused = rows_of(home), home.matching(f"raw/{table}/*.refused.json")
    with store(**changed) as url:
        done = run_again(home, url, "--select", f'key:"raw/{table}"+')
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert len(home.matching(f"raw/{table}/*.refused.json")) > len(refused)
    assert rows_of(home) == before


def to_an_earlier_contract(home, name):
    """Make a table what it would be if its revenue had been called `amount`."""
    path = f"{home.lake.root}/{name}"
    table = deltalake.DeltaTable(path)
    rows = table.to_pyarrow_table()
    names = ["amount" if column == "revenue" else column for column in rows.column_names]
    deltalake.write_deltalake(
        path,
        pa.table(rows.rename_columns(names)),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=table.metadata().partition_columns or None,
    )


@pytest.mark.slow
def test_an_intended_change_is_rolled_out_by_the_run_that_the_error_names(home):
    before = rows_of(home)
    for name in ("trusted/sales", "refined/sales_by_category"):
        to_an_earlier_contract(home, name)

    one_day = ("--from", "2020-01-01", "--to", "2020-01-01", "--select", 'key:"trusted/sales"')
    refused = home.command("run", *one_day)
    assert refused.returncode == 1
    assert (
        "Materialise all of its days in one run: storepipe run --from 2020-01-01 "
        "--to 2020-01-02 --select 'key:\"trusted/sales\"+'"
    ) in refused.stderr
    downstream = home.command("run", *one_day[:4], "--select", 'key:"refined/sales_by_cart"')
    assert "trusted/sales differs from its contract in revenue" in downstream.stderr

    done = home.run("2020-01-01", "2020-01-02", "--select", 'key:"trusted/sales"+')
    assert "differs from its contract in amount, revenue, and is replaced whole" in done.stderr
    assert rows_of(home) == before
    home.run("2020-01-01", "2020-01-01", "--select", 'key:"trusted/sales"')
    assert rows_of(home) == before


@pytest.mark.parametrize(
    ("change", "unknown"),
    [
        pytest.param({"description": None}, None, id="dropped", marks=pytest.mark.slow),
        pytest.param({"description": "text"}, ["text"], id="renamed"),
    ],
)
def test_an_optional_field_that_is_dropped_or_renamed_is_null_from_then_on_and_told(
    home, store, told, change, unknown
):
    products = ("--select", '+key:"raw/relational/products"')
    with store(products=each(PRODUCTS, **change)) as url:
        done = run_again(home, url, *products)
    assert done.returncode == 0, done.stderr
    assert home.sql("SELECT DISTINCT description FROM raw_relational.products") == [
        {"description": None}
    ]
    assert told()["missing_fields"] == ["description", "image", "rating"]
    assert told().get("unknown_fields") == unknown
