"""Tests of `storepipe_dagster.layers.relational.checks`."""

from datetime import date

import pytest
import sqlalchemy as sa

from storepipe_dagster.layers.mysql import schemas as mysql
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster.layers.relational.checks import NAME, relational_checks
from storepipe_dagster.resources.sqlite import SqliteDatabase
from storepipe_dagster_tests.layers.literal_lake import judge, write_parquet
from storepipe_dagster_tests.resources.cart_lines import CAPTURE

DIFFERING = "{} rows in the files, {} in the database. Differing days: {}."
DAY_1, DAY_2, DAY_3 = "2024-01-01", "2024-01-02", "2024-01-03"
PRODUCT = (5, "Hat", "clothing", "1.10", "A hat", "http://hat", 4.5, 7)
USER = (9, *"abcdefghij", "Rome")


def cart(day):
    return (day, 1, 1, f"{day} 06:00:00", 9)


def item(day, line=1):
    return (day, 1, 1, line, 5, 2)


GOOD = {
    "products": [PRODUCT],
    "users": [USER],
    "carts": [cart(DAY_1), cart(DAY_2)],
    "cart_items": [item(DAY_1), item(DAY_1, 2), item(DAY_2)],
}
SCHEMAS = {
    "products": schemas.PRODUCTS,
    "users": schemas.USERS,
    "carts": schemas.CARTS,
    "cart_items": schemas.CART_ITEMS,
}


@pytest.fixture
def database(tmp_path):
    """A database that holds the good rows."""
    full = SqliteDatabase(path=str(tmp_path / "store.db"))
    full.upsert(mysql.PRODUCTS, GOOD["products"], capture=CAPTURE)
    full.upsert(mysql.USERS, GOOD["users"], capture=CAPTURE)
    for day in (DAY_1, DAY_2):
        of_day = {
            mysql.CARTS: [row for row in GOOD["carts"] if row[0] == day],
            mysql.CART_ITEMS: [row for row in GOOD["cart_items"] if row[0] == day],
        }
        full.replace_day(day, "cart_date", of_day, capture=CAPTURE)
    return full


@pytest.fixture
def judged(tmp_path, database):
    """What each check found, on a good extract but for the tables that are given."""

    def results(*days, only=None, **tables):
        for name, rows in (GOOD | tables).items():
            write_parquet(tmp_path / "lake", f"raw/relational/{name}", SCHEMAS[name], *rows)
        found = judge(
            tmp_path / "lake",
            relational_checks,
            *(days or (DAY_1, DAY_2)),
            only=only,
            database=database,
        )
        assert {name for _, name in found} == {NAME}
        return {key: (one.passed, one.description) for (key, _), one in found.items()}

    return results


def test_every_check_is_blocking():
    assert len(list(relational_checks.check_specs)) == 4
    assert all(spec.blocking and spec.description for spec in relational_checks.check_specs)


def test_an_extract_of_every_row_passes(judged):
    assert judged() == {
        "raw/relational/products": (True, "1 rows in the files, 1 in the database."),
        "raw/relational/users": (True, "1 rows in the files, 1 in the database."),
        "raw/relational/carts": (True, "2 rows in the files, 2 in the database."),
        "raw/relational/cart_items": (True, "3 rows in the files, 3 in the database."),
    }


@pytest.mark.parametrize(
    ("table", "rows", "found"),
    [
        ("products", [], "0 rows in the files, 1 in the database. Its loads have left 1."),
        ("users", [USER, USER], "2 rows in the files, 1 in the database."),
        (
            "carts",
            [cart(DAY_1)],
            DIFFERING.format(1, 2, f"{DAY_2} (0 in the files, 1 loaded, 1 in the database)"),
        ),
        (
            "cart_items",
            [item(DAY_1), item(DAY_2)],
            DIFFERING.format(2, 3, f"{DAY_1} (1 in the files, 2 loaded, 2 in the database)"),
        ),
    ],
)
def test_an_extract_with_other_rows_fails(judged, table, rows, found):
    results = judged(**{table: rows})

    assert results.pop(f"raw/relational/{table}") == (False, found)
    assert all(passed for passed, _ in results.values())


def test_days_outside_of_the_run_are_not_judged(judged):
    results = judged(DAY_2, carts=[cart(DAY_2), cart(DAY_3)], cart_items=[item(DAY_2)])

    assert results["raw/relational/carts"] == (True, "1 rows in the files, 1 in the database.")
    assert results["raw/relational/cart_items"][0]


def test_a_row_too_few_on_one_day_is_not_made_up_for_by_one_too_many_on_another(judged):
    lines = [item(DAY_1), item(DAY_2), item(DAY_2, 2)]

    passed, told = judged(cart_items=lines)["raw/relational/cart_items"]

    assert not passed
    assert told == (
        "3 rows in the files, 3 in the database. Differing days: "
        "2024-01-01 (1 in the files, 2 loaded, 2 in the database), "
        "2024-01-02 (2 in the files, 1 loaded, 1 in the database)."
    )


def test_rows_that_were_deleted_from_the_database_after_the_load_are_missed(judged, database):
    with database.engine.begin() as connection:
        connection.execute(
            sa.delete(mysql.CARTS).where(mysql.CARTS.c.cart_date == date(2024, 1, 1))
        )

    passed, told = judged(carts=[cart(DAY_2)])["raw/relational/carts"]

    assert not passed
    assert told.endswith("days: 2024-01-01 (0 in the files, 1 loaded, 0 in the database).")


def test_rows_that_no_load_has_recorded_do_not_pass(judged, database):
    with database.engine.begin() as connection:
        connection.execute(sa.delete(mysql.LOADS))

    passed, told = judged()["raw/relational/carts"]

    assert not passed
    of_both = (f"{day} (1 in the files, 0 loaded, 1 in the database)" for day in (DAY_1, DAY_2))
    assert told == DIFFERING.format(2, 2, ", ".join(of_both))


def test_a_loaded_day_without_rows_passes(judged, database):
    database.replace_day(DAY_3, "cart_date", {mysql.CARTS: []}, capture=CAPTURE)

    assert judged(DAY_1, DAY_3)["raw/relational/carts"] == (
        True,
        "2 rows in the files, 2 in the database.",
    )


def test_products_of_which_the_loads_have_left_more_fail(judged, database):
    other = (6, *PRODUCT[1:])
    database.upsert(mysql.PRODUCTS, [other], capture=CAPTURE)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(mysql.PRODUCTS).where(mysql.PRODUCTS.c.product_id == 6))

    assert judged()["raw/relational/products"] == (
        False,
        "1 rows in the files, 1 in the database. Its loads have left 2.",
    )


def test_the_database_is_asked_once_for_all_days(judged, database, monkeypatch):
    asked = []
    rows = SqliteDatabase._rows
    monkeypatch.setattr(
        SqliteDatabase,
        "_rows",
        lambda self, table, query: asked.append(table) or rows(self, table, query),
    )

    judged(only="raw/relational/carts")

    assert sorted(asked) == ["carts", "storepipe_loads"]


def test_the_check_of_one_table_runs_alone(judged):
    assert set(judged(only="raw/relational/carts")) == {"raw/relational/carts"}
