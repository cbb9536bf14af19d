"""A lake of the test's own, and the IO managers on it."""

import pytest

from storepipe_dagster.io_managers.azure_lake import CONTAINERS
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark
from storepipe_dagster_tests.io_managers.lakes import (
    lake,  # noqa: F401
    make_lake,  # noqa: F401
    managers_of,
)


@pytest.fixture
def pyspark(lake, monkeypatch):  # noqa: F811
    for name, value in lake.storage_options.items():
        monkeypatch.setenv(name.upper(), value)  # as it will; taken back after the test
    in_process = InProcessSpark(lake=lake)
    assert in_process.spark_session  # Sail runs before any test starts threads
    return in_process


@pytest.fixture
def resources(lake, pyspark):  # noqa: F811
    return managers_of(lake, pyspark)


@pytest.fixture
def ask(lake):  # noqa: F811
    """The rows of a question in SQL to the lake."""

    def rows(query):
        with LakeSql(lake=lake).connect() as connection:
            return connection.sql(query).fetchall()

    return rows


@pytest.fixture
def listing(lake):  # noqa: F811
    """The files of the lake, sorted, hidden ones too."""

    def files():
        found = [path for zone in CONTAINERS for path in lake.all_in(f"{lake.root}/{zone}")]
        return sorted(path.removeprefix(f"{lake.root}/") for path in found)

    return files


@pytest.fixture
def captures(listing):
    """The files of the lake but for manifests."""
    return lambda: [file for file in listing() if "/_manifests/" not in file]


@pytest.fixture
def content(lake):  # noqa: F811
    """The bytes of a file of the lake."""
    return lambda file: lake.files.cat_file(f"{lake.root}/{file}")
