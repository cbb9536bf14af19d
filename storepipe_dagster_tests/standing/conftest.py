"""The standing list of runs: of none, in an instance that is not kept, and of ten days.

A run of ten days takes longer than what most tests do after it: it is run once, and copied.
"""

import shutil

import dagster as dg
import pytest
import yaml

from storepipe_dagster.instance import CONFIGURATION
from storepipe_dagster_tests.standing.small_graph import Book


@pytest.fixture
def empty_book():
    """A book without runs, whose instance retries as a laptop's."""
    retries = {"run_retries": yaml.safe_load(CONFIGURATION)["run_retries"]}
    with dg.DagsterInstance.ephemeral(settings=retries) as instance:
        yield Book(instance)


@pytest.fixture
def open_home(monkeypatch):
    """Opens the instance of a home, which stores events as the commands let it."""

    def opened(home):
        monkeypatch.setenv("DAGSTER_HOME", str(home))
        monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "2000")
        return dg.DagsterInstance.get()

    return opened


@pytest.fixture(scope="session")
def ten_days(tmp_path_factory):
    return tmp_path_factory.mktemp("ten_days")


@pytest.fixture
def book(ten_days, tmp_path, open_home):
    """A book in which one run made all ten days, on the storage of a laptop."""
    configuration = ten_days / "dagster.yaml"
    if not configuration.exists():
        configuration.write_text(CONFIGURATION)
        with open_home(ten_days) as instance:
            Book(instance).run(1, 10)
    with open_home(shutil.copytree(ten_days, tmp_path / "home")) as instance:
        yield Book(instance)
