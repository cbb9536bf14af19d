"""What Dagster's asset pages have to show after a run: read as the webserver reads it."""

import dagster as dg
import pytest

from storepipe_dagster_tests.test_definitions import GROUPS, PERSONAL, REPORT, lines

SHOWN_IN_LINE = 1000  # characters of Markdown, in Dagster's UI
ASSETS = [key.removesuffix(" [day]") for group in GROUPS.values() for key in lines(group)]
CAPTURED = {"raw/products", "raw/users", "raw/carts"}
PREVIEWED = {key for key in ASSETS if key.startswith(("trusted/", "refined/"))} - {REPORT}


@pytest.fixture(scope="module")
def events(demo):
    """All materialisations of each asset, the newest first: what they tell."""
    home, _ = demo
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DAGSTER_HOME", str(home.path / "dagster"))
        instance = dg.DagsterInstance.get()
    with instance:
        return {
            key: [
                record.asset_materialization.metadata
                for record in instance.fetch_materializations(
                    dg.AssetKey.from_user_string(key), limit=1000
                ).records
            ]
            for key in ASSETS
        }


def test_every_materialisation_tells_numbers_that_dagster_plots(events):
    in_files = {"dagster/size_bytes", "files"}
    expected = {
        key: {"dagster/row_count"} | (set() if key.startswith("mysql/") else in_files)
        for key in ASSETS
    }
    expected[REPORT] = in_files

    assert {
        key: [name for told in of_asset for name in expected[key] if not is_number(told, name)]
        for key, of_asset in events.items()
    } == {key: [] for key in ASSETS}


def is_number(told, name):
    return isinstance(told.get(name), dg.IntMetadataValue)


def test_the_newest_materialisation_of_a_table_that_is_made_of_others_tells_its_lineage(events):
    lacking = {
        key for key, of_asset in events.items() if "dagster/column_lineage" not in of_asset[0]
    }

    assert lacking == CAPTURED | {REPORT}


def test_rows_are_shown_where_no_column_is_personal(events):
    previewed = {key for key, of in events.items() if any("preview" in told for told in of)}

    assert previewed <= PREVIEWED
    assert previewed >= PREVIEWED - {"trusted/rejected_sales"}
    assert previewed & set(PERSONAL) == set()


def test_no_personal_data_is_in_what_is_told(demo, events):
    home, _ = demo
    users = home.sql("SELECT email, phone, street, last_name FROM raw_relational.users")
    private = {value for user in users for value in user.values()}
    texts = [str(value.value) for of in events.values() for told in of for value in told.values()]

    assert len(private) > 100
    assert [text for text in texts if any(value in text for value in private)] == []


def test_the_report_can_be_found(demo, events):
    home, _ = demo
    (told,) = events[REPORT]
    path = f"{home.lake.root}/{REPORT}/index.html"

    assert told["path"].value == path
    address = told["url"].value if "url" in told else None
    assert address == home.lake.url(path)
