"""A lake of the test's own, and the IO managers on it."""

from functools import partial

import pytest

from storepipe_dagster.io_managers.azure_lake import CONTAINERS, AzureLake
from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager
from storepipe_dagster.resources.lake_sql import LakeSql
from storepipe_dagster.resources.spark import InProcessSpark


@pytest.fixture(params=["folder", "azurite"])
def make_lake(request, tmp_path):
    """Make an object for the test's lake, in this process or another: a folder, or an account."""
    if request.param == "folder":
        return partial(Lake, root=str(tmp_path / "lake"))
    return partial(AzureLake, connection_string=request.getfixturevalue("azure_account"))


only_in_a_folder = pytest.mark.parametrize("make_lake", ["folder"], indirect=True)
only_on_azure = pytest.mark.parametrize("make_lake", ["azurite"], indirect=True)


@pytest.fixture
def lake(make_lake):
    return make_lake()


@pytest.fixture
def pyspark(lake, monkeypatch):
    for name, value in lake.storage_options.items():
        monkeypatch.setenv(name.upper(), value)  # as it will; taken back after the test
    in_process = InProcessSpark(lake=lake)
    assert in_process.spark_session  # Sail runs before any test starts threads
    return in_process


@pytest.fixture
def resources(lake, pyspark):
    return {
        "pyspark": pyspark,
        "capture_files": CaptureFilesIOManager(lake=lake, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=lake, pyspark=pyspark),
        "delta": DeltaIOManager(lake=lake, pyspark=pyspark),
        "pages": PageIOManager(lake=lake),
    }


@pytest.fixture
def ask(lake):
    """The rows of a question in SQL to the lake."""

    def rows(query):
        with LakeSql(lake=lake).connect() as connection:
            return connection.sql(query).fetchall()

    return rows


@pytest.fixture
def listing(lake):
    """The files of the lake, sorted, hidden ones too."""

    def files():
        found = [path for zone in CONTAINERS for path in lake._all_in(f"{lake.root}/{zone}")]
        return sorted(path.removeprefix(f"{lake.root}/") for path in found)

    return files


@pytest.fixture
def content(lake):
    """The bytes of a file of the lake."""
    return lambda file: lake.files.cat_file(f"{lake.root}/{file}")
