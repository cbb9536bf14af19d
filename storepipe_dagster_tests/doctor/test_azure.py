"""Tests of `storepipe_dagster.doctor.azure` on Azurite."""

import base64
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobServiceClient, generate_account_sas, generate_container_sas

from storepipe_dagster.doctor import TroubleError, azure
from storepipe_dagster.settings import Settings
from storepipe_dagster.storage_account import StorageAccount
from storepipe_dagster_tests.io_managers.azure_cloud import HEADER, managed_identity
from storepipe_dagster_tests.resources.scripted_server import Step, scripted_server

CONTAINERS = ("raw", "trusted", "refined")
WRONG_KEY = base64.b64encode(b"hunter2").decode()
ALL = "rwdlac"
LONG_AGO = "Mon, 02 Mar 2020 10:00:00 GMT"


def settings_of(connection_string):
    return Settings(
        _env_file=None,
        dagster_deployment="azure",
        azure_storage_connection_string=connection_string,
    )


def trouble(connection_string):
    """What the doctor finds wrong; never with the key or signature in it."""
    account = StorageAccount.from_connection_string(connection_string)
    with pytest.raises(TroubleError) as caught:
        azure.check(settings_of(connection_string))
    told = str(caught.value)
    assert (account.key or account.sas) not in told
    assert "sig=" not in told
    return told


@pytest.fixture
def account(azure_account):
    return StorageAccount.from_connection_string(azure_account)


@pytest.fixture
def containers(azure_account):
    """The containers, made; gives the client of who owns them."""
    client = BlobServiceClient.from_connection_string(azure_account)
    for name in CONTAINERS:
        client.create_container(name)
    return client


def signed(account, permission=ALL, types="sco", hours=1):
    """A connection string with a signature of these rights alone."""
    sas = generate_account_sas(
        account.name,
        account.key,
        resource_types=types,
        permission=permission,
        expiry=datetime.now(timezone.utc) + timedelta(hours=hours),
    )
    return with_sas(account, sas)


def with_sas(account, sas):
    return f"BlobEndpoint={account.endpoint};AccountName={account.name};SharedAccessSignature={sas}"


# --- well -----------------------------------------------------------------------------------


def test_an_account_with_its_containers_is_well(azure_account, account, containers):
    assert azure.check(settings_of(azure_account)) == (
        f"{account.endpoint}: containers raw, trusted, refined"
    )


def test_containers_that_are_not_there_yet_are_well_with_a_key(azure_account, account):
    assert azure.check(settings_of(azure_account)) == (
        f"{account.endpoint}: the first run makes the containers raw, trusted, refined"
    )


def test_the_container_that_is_not_there_yet_is_named(azure_account, containers):
    containers.delete_container("trusted")

    told = azure.check(settings_of(azure_account))

    assert told.endswith(": the first run makes the containers trusted")


def test_no_container_is_made(azure_account):
    azure.check(settings_of(azure_account))

    client = BlobServiceClient.from_connection_string(azure_account)
    assert list(client.list_containers()) == []


def test_no_blob_is_made_or_changed(azure_account, containers):
    blob = containers.get_blob_client("raw", "products/1.json")
    blob.upload_blob(b"[]")

    azure.check(settings_of(azure_account))

    names = {
        name: list(containers.get_container_client(name).list_blob_names()) for name in CONTAINERS
    }
    assert names == {"raw": ["products/1.json"], "trusted": [], "refined": []}
    assert blob.download_blob().readall() == b"[]"


def test_a_signature_with_all_rights_is_well(account, containers):
    assert "containers raw, trusted, refined" in azure.check(settings_of(signed(account)))


def test_containers_that_are_not_there_yet_are_well_with_a_signature_that_may_make_them(account):
    assert "the first run makes" in azure.check(settings_of(signed(account)))


# --- credentials ----------------------------------------------------------------------------


def test_a_wrong_key(account, containers):
    told = trouble(
        f"BlobEndpoint={account.endpoint};AccountName={account.name};AccountKey={WRONG_KEY}"
    )

    assert told.startswith(f"{account.endpoint} cannot be used as the lake: ")
    assert "key is wrong" in told
    assert "AZURE_STORAGE_CONNECTION_STRING" in told


def test_an_expired_signature(account, containers):
    told = trouble(signed(account, hours=-1))

    assert "the signature expired at " in told
    assert "Make a new one" in told


def test_a_wrong_signature(account, containers):
    good = StorageAccount.from_connection_string(signed(account)).sas
    told = trouble(with_sas(account, good.partition("&sig=")[0] + "&sig=aHVudGVyMg%3D%3D"))

    assert "the signature is wrong" in told


@pytest.mark.parametrize(
    ("permission", "missing"),
    [("rwdac", "list"), ("wdlac", "read"), ("rdl", "write"), ("rwlac", "delete")],
)
def test_a_missing_right_is_named(account, containers, permission, missing):
    told = trouble(signed(account, permission))

    assert "the right is not given" in told
    assert "Make a signature for" in told
    assert told.endswith(f"It was asked to {missing} in the container raw.")


def test_a_signature_for_objects_alone(account, containers):
    assert "(403 AuthorizationResourceTypeMismatch)" in trouble(signed(account, types="so"))


def test_a_missing_container_and_no_right_to_make_it(account):
    told = trouble(signed(account, "rdl"))

    assert told.startswith(
        f"{account.endpoint} has no container raw or trusted or refined, and the"
    )
    assert "may not make and fill any" in told
    assert "srt=sco" in told
    assert "sp=rwdlac" in told


@pytest.mark.parametrize(
    ("permission", "types"), [("rwdl", "co"), ("rdla", "sco"), (ALL, "sco"), ("rwdl", "o")]
)
def test_what_a_signature_says_is_what_the_server_does(account, permission, types):
    signature = StorageAccount.from_connection_string(signed(account, permission, types))
    client = BlobServiceClient(account.endpoint, credential=signature.sas)
    try:
        client.create_container("probe").upload_blob("blob", b"").delete_blob()
        done = True
    except HttpResponseError:
        done = False

    assert azure._may_make_and_fill(signature) == done


def test_a_signature_for_one_container_alone(account, containers):
    sas = generate_container_sas(
        account.name,
        "raw",
        account_key=account.key,
        permission=ALL,
        expiry=datetime.now(timezone.utc) + timedelta(hours=1),
    )

    told = trouble(with_sas(account, sas))

    assert "the signature is for one container. Make one for the account" in told


# --- identities, which Azure takes over HTTPS only ------------------------------------------------


@pytest.fixture
def with_identity(authority, monkeypatch):
    """Let a managed identity be found that knows the right header, or not."""
    with managed_identity() as server:

        def use(header):
            monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.path))
            monkeypatch.setenv("AZURE_TOKEN_CREDENTIALS", "ManagedIdentityCredential")
            monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{server.server_port}/token")
            monkeypatch.setenv("IDENTITY_HEADER", header)

        yield use


def without_key(account):
    return f"BlobEndpoint={account.endpoint};AccountName={account.name}"


def test_an_identity_that_may_do_all_is_well(secure_azurite, with_identity):
    account = secure_azurite.new_account()
    with_identity(HEADER)

    told = azure.check(settings_of(without_key(account)))

    assert told == f"{account.endpoint}: the first run makes the containers raw, trusted, refined"


def test_no_identity(secure_azurite, with_identity, caplog):
    with_identity("another header")
    with pytest.raises(TroubleError) as caught:
        azure.check(settings_of(without_key(secure_azurite.new_account())))

    assert "no Azure identity was found or it was refused" in str(caught.value)
    assert "It was asked" not in str(caught.value)
    assert caplog.records == []


def test_an_authority_that_is_not_trusted(secure_azurite):
    account = secure_azurite.new_account()

    assert "TLS failed" in trouble(account.connection_string)


# --- network --------------------------------------------------------------------------------


def elsewhere(endpoint):
    return f"BlobEndpoint={endpoint};AccountName=lake;AccountKey={WRONG_KEY}"


def test_an_unknown_account():
    told = trouble(elsewhere("https://lake.blob.invalid"))

    assert "https://lake.blob.invalid cannot be used as the lake: no such host is known" in told


def test_a_refused_connection(nobody):
    told = trouble(elsewhere(f"http://127.0.0.1:{nobody}/lake"))

    assert "the connection is refused" in told


@pytest.mark.parametrize("port", ["black_hole", "silent"])
def test_no_answer(port, request, monkeypatch):
    monkeypatch.setattr(
        azure, "QUICK", azure.QUICK | {"connection_timeout": 0.3, "read_timeout": 0.3}
    )

    told = trouble(elsewhere(f"http://127.0.0.1:{request.getfixturevalue(port)}/lake"))

    assert "no answer came in time" in told


def test_http_where_https_is_spoken_or_the_other_way(azurite, account):
    told = trouble(elsewhere(account.endpoint.replace("http:", "https:")))

    assert "TLS failed" in told


def test_a_web_server_of_something_else():
    with scripted_server() as server:
        server.steps["/lake/raw"] = [Step(b"<html>hunter2</html>", 404)]
        told = trouble(elsewhere(f"{server.url}/lake"))

    assert "address is that of a storage account" in told
    assert "hunter2" not in told


def test_a_clock_that_is_off(monkeypatch):
    monkeypatch.setattr(BaseHTTPRequestHandler, "date_time_string", lambda _: LONG_AGO)
    with scripted_server() as server:
        server.steps["/lake/raw"] = [Step(b"", 403, {"x-ms-error-code": "AuthenticationFailed"})]
        told = trouble(elsewhere(f"{server.url}/lake"))

    assert "this machine's clock is " in told
    assert "off from the server's. Set the clock" in told
