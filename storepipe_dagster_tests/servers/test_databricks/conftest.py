"""One workspace for all of these tests."""

import pytest

from storepipe_dagster_tests.servers.databricks.workspace import Workspace
from storepipe_dagster_tests.servers.test_databricks.asking import connect


@pytest.fixture(scope="package")
def workspace():
    with Workspace({"STORAGE_OF_THE_LAKE": "mine"}) as workspace:
        workspace.secrets["shop", "password"] = "s3cr3t"
        yield workspace


@pytest.fixture(scope="package")
def client(workspace):
    return connect(workspace)
