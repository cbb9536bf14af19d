"""A run that is killed at any point, and run again, ends as a run that was not."""

import pytest

from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.end_to_end.commands import Home

FIRST, LAST = "2020-01-01", "2020-01-20"


@pytest.fixture(scope="module")
def store():
    with store_process(carts=1500, days=20, seed=3) as url:
        yield url


@pytest.fixture(scope="module")
def clean(store, tmp_path_factory):
    """The tables of a run that nothing disturbed, on a laptop."""
    home = Home(tmp_path_factory.mktemp("clean"), store)
    home.run(FIRST, LAST)
    return home.tables()


@pytest.mark.parametrize("finished_steps", [1, 4, 14, 20])
def test_a_killed_run_is_repaired_by_the_next(store, clean, new_home, finished_steps):
    home = new_home(store)
    process = home.start("run", "--from", FIRST, "--to", LAST)
    for line in process.stderr:
        if line.startswith(f"[{finished_steps:>2}/"):
            break
    process.kill()
    process.communicate()
    assert process.returncode == -9

    home.run(FIRST, LAST)

    assert home.tables() == clean
