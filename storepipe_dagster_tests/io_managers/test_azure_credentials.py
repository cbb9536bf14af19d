"""Tests of what opens `storepipe_dagster.io_managers.azure_lake`, with every client it has.

The clients are azure-storage-blob, adlfs, delta-rs, Sail, and DuckDB through adlfs.
"""

import logging
import os
import subprocess
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from azure.storage.blob import AccountSasPermissions, ResourceTypes, generate_account_sas

from storepipe_dagster import storage_account
from storepipe_dagster.io_managers.azure_lake import AzureLake
from storepipe_dagster.process import LOGGERS_OF_ADDRESSES, without_addresses
from storepipe_dagster_tests.io_managers.azure_cloud import (
    HEADER,
    az_login,
    managed_identity,
    tunnel,
    use_every_client,
)

PAGE = [("page",)]
ALL = AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True)


def signature_of(account, permissions=ALL, *, hours=1, **types):
    return generate_account_sas(
        account.name,
        account.key,
        ResourceTypes(**({"service": True, "container": True, "object": True} | types)),
        permissions,
        datetime.now(timezone.utc) + timedelta(hours=hours),
    )


def with_signature(account, signature):
    return f"BlobEndpoint={account.endpoint};SharedAccessSignature={signature}"


@pytest.fixture
def every_client(monkeypatch):
    """Use them all with one connection string; Sail's environment is taken back afterwards."""

    def use(connection_string):
        lake = AzureLake(connection_string=connection_string)
        for name, value in lake.storage_options.items():
            monkeypatch.setenv(name.upper(), value)
        return use_every_client(lake)

    return use


def test_a_key_opens_the_account(every_client, azure_account):
    assert every_client(azure_account) == PAGE


def test_a_signature_opens_the_account_and_stands_in_no_log(
    every_client, azurite, caplog, monkeypatch
):
    account = azurite.new_account()
    signature = signature_of(account)
    for name in LOGGERS_OF_ADDRESSES:
        monkeypatch.setattr(logging.getLogger(name), "filters", [without_addresses])

    with caplog.at_level(logging.DEBUG):
        assert every_client(with_signature(account, signature)) == PAGE

    assert "Request URL" in caplog.text
    assert signature.rpartition("sig=")[2] not in caplog.text


def test_the_emulator_is_opened_by_its_short_name(every_client, azurite, monkeypatch):
    monkeypatch.setattr(storage_account, "EMULATOR", azurite.connection_string)

    assert every_client("UseDevelopmentStorage=true") == PAGE


# --- the Azure credential: HTTPS, tokens, and processes with an environment of their own ----------


@pytest.fixture
def in_a_process(authority, tmp_path):
    """Use every client in a process with this environment only; gives what it prints."""

    def use(**environment):
        done = subprocess.run(
            [sys.executable, "-m", "storepipe_dagster_tests.io_managers.azure_cloud"],
            env={
                "HOME": str(tmp_path),
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "REQUESTS_CA_BUNDLE": str(authority.path),
                "SSL_CERT_FILE": str(authority.path),
                **environment,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return use


def without_key(account):
    return f"AccountName={account.name};BlobEndpoint={account.endpoint}"


@pytest.mark.slow
def test_a_managed_identity_opens_an_account_by_its_address(secure_azurite, in_a_process):
    with managed_identity() as identity:
        read = in_a_process(
            AZURE_STORAGE_CONNECTION_STRING=without_key(secure_azurite.new_account()),
            IDENTITY_ENDPOINT=f"http://127.0.0.1:{identity.server_port}/msi/token",
            IDENTITY_HEADER=HEADER,
        )

    assert read == f"{PAGE}\n"
    assert set(identity.asked) == {"azsdk-python-identity", "object_store"}


def test_a_managed_identity_opens_an_account_by_its_name(secure_azurite, in_a_process):
    account = secure_azurite.new_account()
    with managed_identity() as identity, tunnel(secure_azurite.port) as way:
        read = in_a_process(
            AZURE_STORAGE_ACCOUNT_NAME=account.name,
            HTTPS_PROXY=f"http://127.0.0.1:{way.server_port}",
            IDENTITY_ENDPOINT=f"http://127.0.0.1:{identity.server_port}/msi/token",
            IDENTITY_HEADER=HEADER,
        )

    assert read == f"{PAGE}\n"
    assert set(way.asked) == {f"{account.name}.blob.core.windows.net:443"}


@pytest.mark.slow
def test_who_is_logged_in_with_az_opens_the_account(secure_azurite, in_a_process, tmp_path):
    read = in_a_process(
        AZURE_STORAGE_CONNECTION_STRING=without_key(secure_azurite.new_account()),
        # No machine of Azure's is asked for an identity: there may be none, or a real one.
        AZURE_TOKEN_CREDENTIALS="dev",
        PATH=f"{az_login(tmp_path)}:{os.environ['PATH']}",
    )

    assert read == f"{PAGE}\n"
