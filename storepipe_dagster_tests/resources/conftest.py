"""A database on each server of the tests; a lake in a folder and one in Azurite."""

import pytest

from storepipe_dagster_tests.io_managers.lakes import lake, make_lake  # noqa: F401
from storepipe_dagster_tests.servers.mariadb import LEAST


@pytest.fixture
def given(database_server):
    """An empty database, with a user who may do what the pipeline does and no more."""
    return database_server.create_database(grants=LEAST)


@pytest.fixture
def database(given):
    return given.resource()
