"""A lake of the test's own: in a folder, and again in an Azure storage account."""

from functools import partial

import pytest

from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.io_managers.capture_files import CaptureFilesIOManager
from storepipe_dagster.io_managers.delta import DeltaIOManager
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.io_managers.parquet import ParquetIOManager


# What is the same wherever the files are is quick in a folder; what the storage does is quick on
# both: see `on_both`.
@pytest.fixture(params=["folder", pytest.param("azurite", marks=pytest.mark.slow)])
def make_lake(request, tmp_path):
    """Make an object for the test's lake, in this process or another: a folder, or an account."""
    if request.param == "folder":
        return partial(Lake, root=str(tmp_path / "lake"))
    return partial(AzureLake, connection_string=request.getfixturevalue("azure_account"))


on_both = pytest.mark.parametrize("make_lake", ["folder", "azurite"], indirect=True)
only_in_a_folder = pytest.mark.parametrize("make_lake", ["folder"], indirect=True)
only_on_azure = pytest.mark.parametrize("make_lake", ["azurite"], indirect=True)


@pytest.fixture
def lake(make_lake):
    return make_lake()


def managers_of(lake, pyspark):
    """The IO managers on a lake, and Spark."""
    return {
        "pyspark": pyspark,
        "capture_files": CaptureFilesIOManager(lake=lake, pyspark=pyspark),
        "parquet": ParquetIOManager(lake=lake, pyspark=pyspark),
        "delta": DeltaIOManager(lake=lake, pyspark=pyspark),
        "pages": PageIOManager(lake=lake),
    }
