"""Tests of `storepipe_dagster.patience`, on the real captures of a store that is away."""

import dagster as dg
import pytest

from storepipe_dagster import failures, patience
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.layers.raw.assets import raw_carts, raw_products, raw_users
from storepipe_dagster.resources.store_api import StoreApi
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

SCHEDULED = {"dagster/schedule_name": "store_pipeline_daily"}
AWAY, REFUSED, ANSWER = Step(status=503), Step(status=403), Step()
PATHS = ("/carts", "/products", "/users")


@pytest.fixture
def captured(monkeypatch, tmp_path):
    """The failed steps, whether each may pass, and the requests of a run of all captures."""
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.01)

    def run(*steps, tags):
        with scripted_server() as server:
            server.steps |= {path: list(steps) for path in PATHS}
            done = dg.materialize(
                [raw_carts, raw_products, raw_users],
                partition_key="2020-01-02",
                tags=tags,
                resources={
                    "store_api": StoreApi(base_url=server.url, tries=1),
                    "capture_files": dg.InMemoryIOManager(),
                    "lake": Lake(root=str(tmp_path)),
                },
                raise_on_error=False,
            )
            failed = [
                failures.passes(event.step_failure_data.error)
                for event in done.get_step_failure_events()
            ]
            return failed, {server.seen[path] for path in PATHS}

    return run


def test_a_scheduled_run_waits_for_a_store_that_comes_back(captured):
    assert captured(AWAY, AWAY, ANSWER, tags=SCHEDULED) == ([], {3})


def test_a_store_that_stays_away_fails_in_the_end_and_may_still_pass(captured):
    assert captured(AWAY, tags=SCHEDULED) == ([True] * 3, {1 + patience.MOST_WAITS})


def test_a_run_that_a_person_started_does_not_wait(captured):
    assert captured(AWAY, ANSWER, tags={}) == ([True] * 3, {1})


def test_what_does_not_pass_is_not_tried_again(captured):
    assert captured(REFUSED, tags=SCHEDULED) == ([False] * 3, {1})


def test_it_waits_for_half_an_hour_in_all():
    waits = [patience.FIRST_WAIT * 2**number for number in range(patience.MOST_WAITS)]
    assert 25 * 60 <= sum(waits) <= 35 * 60
