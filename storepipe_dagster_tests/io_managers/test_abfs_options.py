"""Tests of `storepipe_dagster.io_managers.abfs_options`."""

import re

import pytest

from storepipe_dagster.io_managers.abfs_options import HIDDEN, abfs_options
from storepipe_dagster.storage_account import StorageAccount

PRINCIPAL = {
    "AZURE_TENANT_ID": "tenant",
    "AZURE_CLIENT_ID": "client",
    "AZURE_CLIENT_SECRET": "hunter2",
}


def options_of(text, **environment):
    return abfs_options(StorageAccount.from_connection_string(text), environment)


def test_a_key_opens_the_account_under_the_suffix_of_its_cloud():
    options = options_of("AccountName=mine;AccountKey=aGk=;EndpointSuffix=core.chinacloudapi.cn")
    assert options == {
        **HIDDEN,
        "fs.azure.account.key.mine.dfs.core.chinacloudapi.cn": "aGk=",
    }


def test_a_signature_is_fixed():
    options = options_of("AccountName=mine;SharedAccessSignature=sv=1&sig=2")
    where = "mine.dfs.core.windows.net"
    assert options[f"fs.azure.account.auth.type.{where}"] == "SAS"
    assert options[f"fs.azure.sas.fixed.token.{where}"] == "sv=1&sig=2"


def test_a_service_principal_logs_in_at_its_tenant():
    where = "mine.dfs.core.windows.net"
    assert abfs_options(StorageAccount.named("mine"), PRINCIPAL) == {
        **HIDDEN,
        f"fs.azure.account.auth.type.{where}": "OAuth",
        f"fs.azure.account.oauth.provider.type.{where}": (
            "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider"
        ),
        f"fs.azure.account.oauth2.client.id.{where}": "client",
        f"fs.azure.account.oauth2.client.secret.{where}": "hunter2",
        f"fs.azure.account.oauth2.client.endpoint.{where}": (
            "https://login.microsoftonline.com/tenant/oauth2/token"
        ),
    }


def test_another_cloud_has_another_login():
    named = abfs_options(
        StorageAccount.named("mine"),
        {**PRINCIPAL, "AZURE_AUTHORITY_HOST": "https://login.example/"},
    )
    assert "https://login.example/tenant/oauth2/token" in named.values()


def test_without_a_secret_spark_is_left_to_the_cluster():
    assert abfs_options(StorageAccount.named("mine"), {}) == {}


@pytest.mark.parametrize(
    "options",
    [
        options_of("AccountName=mine;AccountKey=hunter2="),
        options_of("AccountName=mine;SharedAccessSignature=hunter2"),
        abfs_options(StorageAccount.named("mine"), PRINCIPAL),
    ],
    ids=["key", "signature", "principal"],
)
def test_spark_hides_the_secret_among_the_settings_of_its_session(options):
    secret = next(name for name, value in options.items() if value.startswith("hunter2"))
    assert re.search(HIDDEN["spark.sql.redaction.options.regex"], secret)
