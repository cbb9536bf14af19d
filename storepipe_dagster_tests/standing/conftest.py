"""The standing list of runs in an instance that is not kept."""

import dagster as dg
import pytest

from storepipe_dagster_tests.standing.small_graph import Book


@pytest.fixture
def book():
    with dg.DagsterInstance.ephemeral() as instance:
        yield Book(instance)
