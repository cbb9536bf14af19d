"""A lake of the test's own: in a folder, and again in an Azure storage account."""

from functools import partial

import pytest

from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.io_managers.lake import Lake


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
