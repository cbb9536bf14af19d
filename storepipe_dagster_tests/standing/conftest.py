"""The standing list of runs in an instance that is not kept, and retries as a laptop's."""

import dagster as dg
import pytest
import yaml

from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster_tests.standing.small_graph import Book


@pytest.fixture
def book():
    retries = {"run_retries": yaml.safe_load(CONFIGURATION)["run_retries"]}
    with dg.DagsterInstance.ephemeral(settings=retries) as instance:
        yield Book(instance)
