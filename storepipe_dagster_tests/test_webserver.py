"""Tests of `storepipe_dagster.webserver`: the real one, asked as pages of others would ask it."""

import asyncio
import http.client
import json
import os
import subprocess
import sys
import time
from urllib.parse import urlencode

import pytest
from starlette.responses import PlainTextResponse
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from storepipe_dagster.webserver import OwnPagesOnly
from storepipe_dagster_tests.servers.process import free_port

MUTATION = "mutation { setNuxSeen }"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The port of a webserver that people open by way of a proxy, too."""
    port = free_port()
    command = [sys.executable, "-m", "storepipe_dagster.webserver", "--empty-workspace"]
    own = {
        "DAGSTER_HOME": str(tmp_path_factory.mktemp("dagster")),
        "STOREPIPE_DAGSTER_URL": "https://dagster.shop.example",
    }
    process = subprocess.Popen([*command, "--port", str(port)], env=os.environ | own)
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            try:
                ask(port, "/server_info")
                break
            except OSError:
                time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def ask(port, path, method="GET", body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, named)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def mutate(port, **headers):
    return ask(port, "/graphql", "POST", json.dumps({"query": MUTATION}), **(JSON | headers))


DONE = (200, '{"data":{"setNuxSeen":true}}')


def test_its_own_page_may_ask(server):
    own = f"http://127.0.0.1:{server}"
    assert mutate(server, Origin=own) == DONE
    assert ask(server, "/runs")[0] == 200
    assert ask(server, "/graphql", Accept="text/html")[0] == 200
    with connect(f"ws://127.0.0.1:{server}/graphql", origin=own, subprotocols=["graphql-ws"]) as ws:
        ws.send(json.dumps({"type": "connection_init"}))
        assert json.loads(ws.recv())["type"] == "connection_ack"


def test_a_program_without_a_page_may_ask(server):
    assert mutate(server) == DONE


@pytest.mark.parametrize("origin", ["https://dagster.shop.example", "http://localhost:{port}"])
def test_so_may_its_page_by_another_of_its_names(server, origin):
    origin = origin.format(port=server)
    host = origin.partition("//")[2]
    assert mutate(server, Host=host, Origin=origin) == DONE


@pytest.mark.parametrize("origin", ["https://evil.example", "http://localhost:8000", "null"])
def test_a_page_of_another_server_may_not(server, origin):
    status, answer = mutate(server, Origin=origin)
    assert (status, answer) == (403, f"A page of {origin!r} may not use this webserver.\n")
    with (
        pytest.raises(InvalidStatus, match="403"),
        connect(f"ws://127.0.0.1:{server}/graphql", origin=origin),
    ):
        pass


@pytest.mark.parametrize("host", ["evil.example", "evil.example:3000", "", "[::1"])
def test_a_name_that_another_server_gave_it_does_not_lead_to_it(server, host):
    status, answer = mutate(server, Host=host)
    assert status == 403
    assert "STOREPIPE_DAGSTER_URL" in answer
    assert ask(server, "/runs", Host=host)[0] == 403


@pytest.mark.parametrize("accept", ["*/*", "image/png"])
def test_nothing_is_asked_by_the_address_of_a_picture(server, accept):
    status, answer = ask(server, f"/graphql?{urlencode({'query': MUTATION})}", Accept=accept)
    assert (status, answer.split(" with ")[0]) == (403, "GraphQL is asked by POST")


@pytest.mark.parametrize("path", ["/runs", "/graphql", "/locations/x/jobs/y/playground"])
def test_its_pages_are_shown_in_no_frame_of_another_page(server, path):
    connection = http.client.HTTPConnection("127.0.0.1", server, timeout=30)
    connection.request("GET", path, headers={"Accept": "text/html"})
    assert connection.getresponse().headers["X-Frame-Options"] == "SAMEORIGIN"
    connection.close()


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain", ""])
def test_nothing_is_asked_by_a_form(server, content_type):
    status, _ = ask(
        server,
        f"/graphql?{urlencode({'query': MUTATION})}",
        "POST",
        json.dumps({"query": MUTATION}),
        Content_Type=content_type,
    )
    assert status == 403


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:3000", None, 200),
        ("localhost:3000", "http://localhost:3000", 200),
        ("localhost:3000", "http://localhost:3001", 403),
        ("localhost:3000", "null", 403),
        ("localhost:3000", "", 403),
        ("localhost:3000", "http://[", 403),
        ("dagster.shop.example", None, 403),
        ("", None, 403),
        ("[::1", None, 403),
        ("None", None, 403),
    ],
)
def test_without_an_address_of_its_own_it_is_loopbacks_only(host, origin, status):
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/runs",
        "headers": [(b"host", host.encode())]
        + ([(b"origin", origin.encode())] if origin is not None else []),
    }
    guarded = OwnPagesOnly(PlainTextResponse("in"), None)
    asyncio.run(guarded(scope, None, send))
    assert sent[0]["status"] == status
