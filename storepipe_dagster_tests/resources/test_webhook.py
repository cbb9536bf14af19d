"""Tests of `storepipe_dagster.resources.webhook`, on a real HTTP server."""

import json
import logging

import pytest

from storepipe_dagster.resources.webhook import TRIES, Webhook
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

SECRET = "hunter2"
PATH = f"/services/{SECRET}"
LOG = logging.getLogger("a sensor")


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@pytest.fixture
def webhook(server):
    return Webhook(url=server.url + PATH, first_wait=0, longest_wait=0, read_timeout=0.3)


@pytest.fixture(autouse=True)
def warnings_of(caplog):
    caplog.set_level(logging.DEBUG)


def texts(server):
    return [json.loads(body)["text"] for body in server.bodies]


def test_a_message_is_posted_as_slack_takes_it(webhook, server):
    assert webhook.say("store_pipeline failed\n• 1 < 2", LOG)

    assert [json.loads(body) for body in server.bodies] == [
        {"text": "store_pipeline failed\n• 1 ( 2"}
    ]
    assert server.headers[0]["Content-Type"] == "application/json"


def test_nothing_in_a_message_calls_everybody_or_links_elsewhere(webhook, server):
    webhook.say("<!channel> <http://elsewhere|here>", LOG)

    assert texts(server) == ["(!channel) (http://elsewhere|here)"]


@pytest.mark.parametrize("step", [Step(status=503), Step(status=429), Step(status=0)])
def test_what_passes_is_tried_again(webhook, server, step):
    server.steps[PATH] = [step, Step(b"ok")]

    assert webhook.say("a day is late", LOG)
    assert texts(server) == ["a day is late"] * 2


def test_a_receiver_that_is_slow_to_answer_has_the_message_and_is_not_asked_again(webhook, server):
    server.steps[PATH] = [Step(wait=1)]

    assert webhook.say("a day is late", LOG)

    assert server.seen[PATH] == 1


@pytest.mark.parametrize(
    ("step", "tries", "why"),
    [
        (Step(status=503), TRIES, "it answered 503"),
        (Step(status=404), 1, "it answered 404"),
        (Step(status=302, headers={"Location": "/login"}), 1, "it answered 302"),
        (Step(status=0), TRIES, "there is no connection to it"),
    ],
)
def test_a_failure_is_one_warning_that_hides_the_address(webhook, server, caplog, step, tries, why):
    server.steps[PATH] = [step]

    assert not webhook.say("a day is late", LOG)

    assert server.seen[PATH] == tries
    (warning,) = [record for record in caplog.records if record.name == LOG.name]
    assert warning.levelno == logging.WARNING
    assert why in warning.getMessage()
    assert "a day is late" in warning.getMessage()
    assert SECRET not in warning.getMessage()
    assert "127.0.0.1" not in warning.getMessage()


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (f"http://127.0.0.1:1{PATH}", "there is no connection to it"),
        (f"http://nobody.invalid{PATH}", "there is no connection to it"),
        (f"http://[::{PATH}", "its address cannot be used"),
    ],
)
def test_an_address_where_nobody_is_is_a_warning_that_hides_it(caplog, url, why):
    assert not Webhook(url=url, first_wait=0, longest_wait=0).say("late", LOG)

    (warning,) = [record for record in caplog.records if record.name == LOG.name]
    assert why in warning.getMessage()
    assert SECRET not in warning.getMessage()
    assert "nobody" not in warning.getMessage()


def test_tls_that_fails_is_a_warning_that_hides_the_address(server, caplog):
    url = server.url.replace("http:", "https:") + PATH
    assert not Webhook(url=url, first_wait=0, longest_wait=0).say("late", LOG)

    (warning,) = [record for record in caplog.records if record.name == LOG.name]
    assert "TLS failed" in warning.getMessage()


def test_without_an_address_nothing_is_told_and_nothing_is_left_to_do(server, caplog):
    assert Webhook().say("late", LOG)
    assert server.bodies == []
    assert caplog.records == []


def test_a_run_is_linked_where_dagster_is_known():
    assert Webhook(dagster_url="https://dagster.example").link("a1") == (
        "https://dagster.example/runs/a1"
    )
    assert Webhook().link("a1") == "a1"


def test_the_address_is_not_shown():
    assert SECRET not in repr(Webhook(url=f"https://hooks.example{PATH}"))
