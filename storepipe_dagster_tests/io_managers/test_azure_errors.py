"""Tests of `storepipe_dagster.io_managers.azure_errors`: what is wrong is told, and no secret."""

import base64
import socket
import time
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler
from urllib.parse import quote

import dagster as dg
import deltalake
import duckdb
import pytest
from azure.core.exceptions import AzureError
from azure.storage.blob import (
    AccountSasPermissions,
    ContainerSasPermissions,
    generate_container_sas,
)
from pyspark.errors import PySparkException

from storepipe_dagster.io_managers.azure_errors import LakeUnreachableError, explain
from storepipe_dagster.io_managers.azure_lake import (
    IMPATIENT,
    AzureLake,
    connect,
    make_containers,
)
from storepipe_dagster.io_managers.pages import PageIOManager
from storepipe_dagster.storage_account import StorageAccount
from storepipe_dagster_tests.io_managers.small_graph import materialize
from storepipe_dagster_tests.io_managers.test_azure_credentials import signature_of, with_signature
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server
from storepipe_dagster_tests.servers.azurite import Account
from storepipe_dagster_tests.servers.process import free_port
from storepipe_dagster_tests.servers.proxy import Proxy

WRONG_KEY = base64.b64encode(b"not the key").decode()
SECONDS = 4


def told_of(connection_string, **options):
    """What is wrong with the account, for who has no patience."""
    account = StorageAccount.from_connection_string(connection_string)
    began = time.monotonic()
    with pytest.raises(AzureError) as caught:
        make_containers(connect(account, **(IMPATIENT | options)))
    assert time.monotonic() - began < SECONDS
    told = explain(caught.value, account)
    for secret in (account.key, account.sas, *(account.sas or "sig=").split("sig=")[1:]):
        assert not secret or secret not in told
    assert told.startswith(f"{account.endpoint} cannot be used as the lake: ")
    assert told.endswith(".")
    return told.partition("as the lake: ")[2]


# --- credentials ----------------------------------------------------------------------------------


def test_a_wrong_key(azurite):
    account = azurite.new_account()

    told = told_of(Account(account.name, account.endpoint, WRONG_KEY).connection_string)

    assert told.startswith("the account key is wrong. Copy it again from the portal")


def test_a_signature_with_another_key(azurite):
    account = azurite.new_account()
    signature = signature_of(Account(account.name, account.endpoint, WRONG_KEY))

    assert "the signature is wrong" in told_of(with_signature(account, signature))


def test_a_signature_that_expired(azurite):
    account = azurite.new_account()

    told = told_of(with_signature(account, signature_of(account, hours=-1)))

    assert told.startswith("the signature expired at 20")
    assert "Make a new one" in told


def test_a_signature_for_one_container(azurite):
    account = azurite.new_account()
    signature = generate_container_sas(
        account.name,
        "raw",
        account.key,
        permission=ContainerSasPermissions(read=True, write=True, list=True),
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )

    assert "is for one container. Make one for the acc" in told_of(
        with_signature(account, signature)
    )


@pytest.mark.parametrize(
    ("types", "permissions"),
    [
        ({"container": False}, {"read": True, "write": True, "list": True, "create": True}),
        ({}, {"read": True, "list": True}),
    ],
    ids=["not on containers", "may only read"],
)
def test_a_signature_that_lacks_a_right(azurite, types, permissions):
    account = azurite.new_account()
    signature = signature_of(account, AccountSasPermissions(**permissions), **types)

    told = told_of(with_signature(account, signature))

    assert told.startswith("the right ")
    assert "the types service, container and object, and the permissions read, write" in told


def test_no_identity(monkeypatch, tmp_path):
    monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "AzureCliCredential")
    monkeypatch.setenv("PATH", str(tmp_path))

    told = told_of("AccountName=shop;BlobEndpoint=https://127.0.0.1:1/shop")

    assert told.startswith("no Azure identity was found or it was refused. Log in with az login,")


# --- the way there --------------------------------------------------------------------------------


def test_an_unknown_host(monkeypatch):
    def resolve(host, *_, **__):
        assert host == "shop.blob.core.windows.net"
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    told = told_of(f"AccountName=shop;AccountKey={WRONG_KEY}")

    assert told.startswith("no such host is known. Check the account's name")


def test_a_refused_connection():
    port = free_port()

    told = told_of(Account("shop", f"http://127.0.0.1:{port}/shop", WRONG_KEY).connection_string)

    assert told.startswith("the connection is refused. Check the address and port")


def test_a_server_that_speaks_no_tls(azurite):
    told = told_of(azurite.connection_string.replace("http://", "https://"))

    assert told.startswith("TLS failed. Check that the address is https where it says so")


def test_a_certificate_of_an_unknown_authority(secure_azurite):
    assert told_of(secure_azurite.connection_string).startswith("TLS failed. ")


def test_a_server_that_does_not_answer():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/shop"

        told = told_of(Account("shop", endpoint, WRONG_KEY).connection_string, read_timeout=1)

    assert told.startswith("no answer came in time. Check the network")


def test_a_connection_that_breaks_off(azurite):
    with Proxy(azurite.port) as proxy:
        proxy.cut_after(1, "to_server", times=100)

        told = told_of(azurite.new_account(port=proxy.port).connection_string)

    assert proxy.counts["cut"] > 0
    assert told.startswith("the connection broke off. ")


def test_a_server_that_is_busy_to_the_end(azurite):
    with Proxy(azurite.port, http=True) as proxy:
        proxy.answer_busy()

        told = told_of(azurite.new_account(port=proxy.port).connection_string)

    assert proxy.counts["busy"] == 1
    assert told.startswith("it answered again and again that it is busy. Try again later")


# --- answers that Azurite does not give -----------------------------------------------------------


def answered(status, code, credential=f"AccountKey={WRONG_KEY}"):
    """What is told of an account that answers this."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>No.</Message></Error>"
    headers = {"Content-Type": "application/xml", "x-ms-error-code": code}
    with scripted_server() as server:
        server.steps["/shop/raw"] = [Step(body.encode(), status, headers)]
        return told_of(f"AccountName=shop;BlobEndpoint={server.url}/shop;{credential}")


@pytest.mark.parametrize(
    ("minutes", "told"),
    [
        (20, "this machine's clock is 20 minutes off from the server's. Set the clock"),
        (-20, "this machine's clock is 20 minutes off from the server's. Set the clock"),
        (4, "the account key is wrong."),
        (None, "the account key is wrong."),
    ],
)
def test_a_clock_that_is_off_is_told_where_the_key_is_refused(monkeypatch, minutes, told):
    def date(*_):
        if minutes is None:
            return "no date"
        now = datetime.now(timezone.utc) + timedelta(minutes=minutes)
        return format_datetime(now, usegmt=True)

    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", date)

    assert answered(403, "AuthenticationFailed").startswith(told)


@pytest.mark.parametrize(
    ("status", "code", "told"),
    [
        (403, "KeyBasedAuthenticationNotPermitted", "does not permit keys. Set AZURE_STORAGE_ACC"),
        (403, "AccountIsDisabled", "the account is disabled"),
        (403, "AuthorizationFailure", "the account's network rules"),
        (403, "AuthorizationProtocolMismatch", "for https only"),
        (403, "AuthorizationSourceIPMismatch", "is not for this machine's IP address"),
        (409, "ContainerBeingDeleted", "is being deleted. Try again in a minute"),
        (500, "InternalError", "it answered 500 InternalError. That is its own trouble"),
        (400, "InvalidHeaderValue", "it answered 400 InvalidHeaderValue. Check that the address"),
    ],
)
def test_what_the_account_answers_is_told_with_the_remedy(status, code, told):
    found = answered(status, code)

    assert told.lower() in found.lower()
    assert f"{status} {code}" in found


# --- while the lake is used -----------------------------------------------------------------------


@pytest.fixture
def proxy(azurite):
    with Proxy(azurite.port, http=True) as proxy:
        yield proxy


@pytest.fixture
def lake(azurite, proxy):
    """A lake by way of the proxy, opened, with a signature."""
    account = azurite.new_account(port=proxy.port)
    lake = AzureLake(connection_string=with_signature(account, signature_of(account)))
    assert lake.is_empty()
    return lake


def go_away(proxy):
    proxy.refuse()
    proxy.cut()


@pytest.mark.parametrize(
    "error",
    [
        OSError("Generic MicrosoftAzure error"),
        deltalake.exceptions.DeltaError("Kernel error"),
        PySparkException("Server returned non-2xx status code: 403 Forbidden"),
        duckdb.IOException("Python exception occurred"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_engine_that_fails_is_explained_by_the_account_itself(lake, proxy, error):
    with pytest.raises(type(error)), lake.explained():
        raise error  # the account is well: this is about something else

    go_away(proxy)
    with pytest.raises(LakeUnreachableError, match=lake.address), lake.explained():
        raise error


def test_other_errors_are_left_alone(lake, proxy):
    go_away(proxy)

    with pytest.raises(ZeroDivisionError), lake.explained():
        _ = 1 // 0


def test_a_run_whose_account_is_gone_tells_it_and_no_signature(lake, proxy, monkeypatch):
    @dg.asset(key=["refined", "report"], io_manager_key="pages")
    def report() -> str:
        go_away(proxy)
        return "page"

    monkeypatch.setattr(AzureLake, "client", connect(lake.account, **IMPATIENT))

    with pytest.raises(LakeUnreachableError, match=f"{lake.address} cannot be used") as caught:
        materialize([report], {"pages": PageIOManager(lake=lake)})

    signature = lake.account.sas.rpartition("sig=")[2]
    shown = str(caught.getrepr(chain=True))
    assert signature not in shown
    assert quote(signature) not in shown
