"""Tests of `storepipe_dagster.doctor.store_api` on local servers."""

import contextlib
import ssl
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler

import pytest

from storepipe_dagster.doctor import TroubleError, http, store_api
from storepipe_dagster.settings import Settings
from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def check(url):
    return store_api.check(Settings(_env_file=None, storepipe_api_url=url))


def trouble(url):
    with pytest.raises(TroubleError) as caught:
        check(url)
    return str(caught.value)


@pytest.fixture
def server():
    with scripted_server() as server:
        yield server


@contextlib.contextmanager
def secure_server(certificate):
    """A server that speaks TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.certificate, certificate.key)
    with scripted_server() as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.steps["/products"] = [Step(b'[{"id": 1}]')]
        yield server


# --- well -----------------------------------------------------------------------------------


def test_a_store_that_answers_is_well():
    with store_process(carts=10, days=1, seed=1) as url:
        told = check(url)

    assert told.startswith(f"{url} answers (")
    assert told.endswith(" ms)")


def test_one_product_is_asked_for(server):
    server.steps["/products"] = [Step(b'[{"id": 1}]')]

    check(server.url)

    assert server.queries == [{"limit": "1"}]


def test_a_store_without_products_is_told(server):
    assert " answers, but has no products (" in check(server.url)


def test_a_clock_that_is_off_is_told(server, monkeypatch):
    monkeypatch.setattr(
        BaseHTTPRequestHandler, "date_time_string", lambda _: formatdate(0, usegmt=True)
    )

    assert "minutes behind this machine's: check both" in check(server.url)


def test_tls_with_a_trusted_authority_is_well(authority, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    with secure_server(authority.issue()) as server:
        assert " answers (" in check(server.url.replace("http:", "https:"))


def test_a_proxy_on_the_way_is_told_without_its_password(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("://", "://me:hunter2@"))
    server.steps["/products"] = [Step(b'[{"id": 1}]')]  # a proxy reads the whole address

    told = check("http://store.invalid")

    assert f"through the proxy 127.0.0.1:{server.server_port}" in told
    assert "hunter2" not in told


# --- answers that are none ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "what", "remedy"),
    [
        (Step(b"", 404), "answers 404 Not Found", "Check the path in STOREPIPE_API_URL"),
        (Step(b"", 401), "answers 401", "lets this machine in"),
        (Step(b"", 403), "answers 403", "lets this machine in"),
        (Step(b"", 429), "answers 429", "try again later"),
        (Step(b"", 500), "answers 500", "The store itself has a problem"),
        (Step(b"", 503), "answers 503", "The store itself has a problem"),
        (
            Step(b"<html>hunter2</html>", headers={"Content-Type": "text/html; charset=utf-8"}),
            "answers with text/html that is no JSON array",
            "login page or proxy",
        ),
        (
            Step(b'{"error": "no"}', headers={"Content-Type": "application/json"}),
            "answers with application/json that is no JSON array",
            "Check STOREPIPE_API_URL",
        ),
        (
            Step(b'{"products": [], "total": 0}'),
            "it is not an array but an object with products, total",
            "Set STOREPIPE_API_URL to an address that answers JSON arrays",
        ),
        (Step(b"null"), "that is no JSON array", "Check STOREPIPE_API_URL"),
        (Step(b""), "that is no JSON array", "Check STOREPIPE_API_URL"),
        (Step(b'[{"id": 1}', cut_after=5), "stops in mid-answer", "network"),
    ],
    ids=str,
)
def test_an_answer_that_cannot_be_used(server, step, what, remedy):
    server.steps["/products"] = [step]

    told = trouble(server.url)

    assert f"{server.url}/products" in told
    assert what in told
    assert remedy in told
    assert "hunter2" not in told


# --- network --------------------------------------------------------------------------------


def test_an_unknown_host():
    told = trouble("https://store.invalid")

    assert "'store.invalid'" in told
    assert "STOREPIPE_API_URL" in told


def test_a_refused_connection(nobody):
    assert trouble(f"http://127.0.0.1:{nobody}") == (
        f"The store API http://127.0.0.1:{nobody} cannot be reached: nobody listens there. "
        "Check STOREPIPE_API_URL, and that the server runs."
    )


@pytest.mark.parametrize("port", ["black_hole", "silent"])
def test_no_answer(port, request, monkeypatch):
    monkeypatch.setattr(http, "SECONDS", 0.3)

    told = trouble(f"http://127.0.0.1:{request.getfixturevalue(port)}")

    assert "cannot be reached: no answer" in told
    assert "firewall" in told


def test_a_connection_that_is_cut(server):
    server.steps["/products"] = [Step(status=0)]

    assert "the connection was cut" in trouble(server.url)


def test_a_proxy_that_is_not_there(nobody, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://me:hunter2@127.0.0.1:{nobody}")

    told = trouble("http://store.invalid")

    assert told.startswith(f"The proxy 127.0.0.1:{nobody} on the way to the store API")
    assert "nobody listens there. Check HTTPS_PROXY or HTTP_PROXY" in told
    assert "hunter2" not in told


# --- TLS ------------------------------------------------------------------------------------


def test_an_authority_that_is_not_trusted(authority):
    with secure_server(authority.issue()) as server:
        told = trouble(server.url.replace("http:", "https:"))

    assert "authority that is not trusted. Set REQUESTS_CA_BUNDLE" in told


@pytest.mark.parametrize(
    ("hosts", "expired", "told"),
    [
        ((), True, "has expired. Renew it there"),
        (("store.example",), False, "Use a name that it has: check STOREPIPE_API_URL"),
    ],
    ids=["expired", "another host"],
)
def test_a_certificate_that_is_no_good(authority, monkeypatch, hosts, expired, told):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
    with secure_server(authority.issue(*hosts, expired=expired)) as server:
        assert told in trouble(server.url.replace("http:", "https:"))


def test_https_where_http_is_spoken(server):
    assert "TLS failed" in trouble(server.url.replace("http:", "https:"))


def test_a_file_of_authorities_that_is_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "absent.pem"))

    told = trouble("https://127.0.0.1:9")

    assert "absent.pem. Check REQUESTS_CA_BUNDLE." in told
