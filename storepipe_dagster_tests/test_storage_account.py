"""Tests of `storepipe_dagster.storage_account`."""

import pytest

from storepipe_dagster.storage_account import ConnectionStringError, StorageAccount


def test_a_key_keeps_its_equal_signs():
    account = StorageAccount.from_connection_string("AccountName=shop;AccountKey=ab+/cw==")
    assert (account.name, account.key) == ("shop", "ab+/cw==")
    assert account.endpoint == "https://shop.blob.core.windows.net"


def test_the_emulator_has_its_known_account():
    account = StorageAccount.from_connection_string("UseDevelopmentStorage=true")
    assert account.endpoint == "http://127.0.0.1:10000/devstoreaccount1"
    assert account.name == "devstoreaccount1"


def test_another_suffix_is_part_of_the_endpoint():
    text = "AccountName=shop;AccountKey=YQ==;EndpointSuffix=core.chinacloudapi.cn"
    account = StorageAccount.from_connection_string(text)
    assert account.endpoint == "https://shop.blob.core.chinacloudapi.cn"


def test_a_shared_access_signature_needs_no_account_name():
    text = "BlobEndpoint=https://shop.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=x%3D"
    account = StorageAccount.from_connection_string(text)
    assert (account.name, account.sas) == ("shop", "sv=1&sig=x%3D")
    assert account.endpoint == "https://shop.blob.core.windows.net"


def test_the_suffix_of_an_endpoint_is_the_clouds():
    text = "BlobEndpoint=https://shop.blob.core.chinacloudapi.cn;SharedAccessSignature=sv=1&sig=x"
    assert StorageAccount.from_connection_string(text).suffix == "core.chinacloudapi.cn"


def test_without_key_and_signature_it_is_only_an_address():
    by_name = StorageAccount.named("shop")
    assert (by_name.key, by_name.sas) == (None, None)
    assert StorageAccount.from_connection_string("AccountName=shop") == by_name


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "AccountKey=hunter2",
        "AccountName=;x=hunter2",
        "BlobEndpoint=https://shop.blob.core.windows.net/?sv=1&sig=hunter2",
        "BlobEndpoint=https://me:hunter2@shop.blob.core.windows.net",
        "",
    ],
)
def test_an_unusable_text_is_refused_without_showing_it(text):
    with pytest.raises(ConnectionStringError) as caught:
        StorageAccount.from_connection_string(text)
    assert "hunter2" not in str(caught.value)


def test_secrets_are_not_shown():
    account = StorageAccount.from_connection_string("AccountName=shop;AccountKey=hunter2=")
    assert "hunter2" not in repr(account)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("AccountName=shop;AccountKey=hunter2", "its AccountKey is not whole"),
        ("AccountName=shop;AccountKey=aHVudGVyMg=", "its AccountKey is not whole"),
        ("AccountName=shop;AccountKey=hunter2!aaaa", "its AccountKey is not whole"),
        ("AccountName=shop;AccountKey=hunt er2=", "there are spaces in the value of accountkey"),
        ("AccountName=the shop", "there are spaces in the value of accountname"),
        ("BlobEndpoint=https://shop.blob.core.windows.net/raw;AccountName=shop", "to 'raw'"),
        ("BlobEndpoint=http://127.0.0.1:10000/shop/raw/x", "to 'raw'"),
    ],
)
def test_what_is_wrong_with_a_text_is_named(text, told):
    with pytest.raises(ConnectionStringError) as caught:
        StorageAccount.from_connection_string(text)
    assert told in str(caught.value)
    assert "hunt" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["https://shop.blob.core.windows.net", "Shop", "my shop", "ab", "a" * 25, "shop_1"]
)
def test_what_is_no_name_of_an_account_is_refused(name):
    with pytest.raises(ConnectionStringError, match="no storage account's name"):
        StorageAccount.named(name)
