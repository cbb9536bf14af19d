"""Homes on each deployment, and the demo, made once for all tests that only look at it."""

import json

import pytest
from filelock import FileLock

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.mariadb import LEAST

NOBODY = "http://127.0.0.1:9"  # the discard port


@pytest.fixture(scope="session", params=["local", pytest.param("azure", marks=pytest.mark.slow)])
def new_home(request, tmp_path_factory):
    """Makes an empty home: a folder and SQLite, or Azurite and MariaDB with no right too many."""

    def make(api_url=NOBODY, **extra):
        path = tmp_path_factory.mktemp(request.param)
        if request.param == "local":
            return Home(path, api_url, extra)
        database = request.getfixturevalue("mariadb").create_database(grants=LEAST)
        account = request.getfixturevalue("azurite").new_account()
        variables = {
            "DAGSTER_DEPLOYMENT": "azure",
            "AZURE_STORAGE_CONNECTION_STRING": account.connection_string,
            **database.environment(),
        }
        return Home(path, api_url, variables | extra)

    return make


@pytest.fixture(scope="session")
def new_laptop(tmp_path_factory):
    """Makes an empty home with a folder and SQLite, where another deployment adds nothing."""
    return lambda api_url=NOBODY, **extra: Home(tmp_path_factory.mktemp("laptop"), api_url, extra)


@pytest.fixture(scope="session")
def shop_url():
    """A synthetic store with carts on four days: the fewest carts that have defects."""
    with store_process(carts=1000, days=4, seed=3) as url:
        yield url


@pytest.fixture(scope="session")
def clean(shop_url, tmp_path_factory, worker_id):
    """The tables of a run over these days that nothing disturbed, on a laptop; made once."""
    own = tmp_path_factory.mktemp("clean")
    tables = (own if worker_id == "master" else own.parent.parent) / "clean.json"
    with FileLock(f"{tables}.lock"):
        if not tables.exists():
            home = Home(own, shop_url)
            home.run("2020-01-01", "2020-01-04")
            made = home.tables()
            assert all(made.values()), "a table without rows would prove little"
            tables.write_text(json.dumps(made))
    return json.loads(tables.read_text())


@pytest.fixture(scope="session")
def demo(new_home):
    """A home that the demo made, and what the command said."""
    home = new_home()
    return home, home.command("demo", "--carts", "1000", "--days", "8", "--seed", "5")
