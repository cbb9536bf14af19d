"""Tests of `storepipe_dagster.io_managers.azure_lake`: containers, locations, uploads."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from azure.storage.blob import AccountSasPermissions, BlobClient

from storepipe_dagster.io_managers import azure_lake
from storepipe_dagster.io_managers.azure_errors import LakeUnreachableError
from storepipe_dagster.io_managers.azure_lake import CONTAINERS, AzureLake, connect, make_containers
from storepipe_dagster.storage_account import StorageAccount
from storepipe_dagster_tests.io_managers.small_graph import kill_in_mid_write, stop_here
from storepipe_dagster_tests.io_managers.test_azure_credentials import signature_of, with_signature

PAGE = "az://refined/page"
SMALL_BLOCK = 1024


@pytest.fixture
def lake(azure_account):
    return AzureLake(connection_string=azure_account)


@pytest.fixture
def small_blocks(monkeypatch):
    """Let a few KiB be a big file."""
    monkeypatch.setattr(azure_lake, "BLOCK", SMALL_BLOCK)


def big(letter):
    return letter * (3 * SMALL_BLOCK + 1)


def write(lake, data):
    with lake.write(PAGE) as file:
        file.write(data)


# --- containers -----------------------------------------------------------------------------------


def names_of(client):
    return {container.name for container in client.list_containers()}


def test_the_containers_are_made_when_the_lake_is_opened(lake):
    assert names_of(connect(lake.account)) == set()

    assert lake.is_empty()

    assert names_of(lake.client) == set(CONTAINERS)


def test_containers_that_are_there_are_left_as_they_are(lake):
    write(lake, b"first")

    make_containers(connect(lake.account))

    assert lake.files.cat_file(PAGE) == b"first"


def test_many_that_open_a_new_lake_at_once_all_find_its_containers(lake, monkeypatch):
    all_are_ready = threading.Barrier(4, timeout=20)

    def is_absent(container):
        if container.container_name == CONTAINERS[0]:
            all_are_ready.wait()
        return False

    monkeypatch.setattr(azure_lake, "_seems_there", is_absent)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: make_containers(connect(lake.account)), range(4)))

    assert names_of(connect(lake.account)) == set(CONTAINERS)


def test_a_signature_that_may_not_look_at_containers_works_in_them(lake, azurite):
    account = azurite.new_account()
    make_containers(connect(StorageAccount.from_connection_string(account.connection_string)))
    signature = signature_of(account, AccountSasPermissions(write=True, list=True))
    lake = AzureLake(connection_string=with_signature(account, signature))

    write(lake, b"page")

    assert lake.files.find("az://refined") == ["refined/page"]


def test_a_missing_container_that_may_not_be_made_is_told(azurite):
    account = azurite.new_account()
    signature = signature_of(account, AccountSasPermissions(read=True, list=True))
    lake = AzureLake(connection_string=with_signature(account, signature))

    with pytest.raises(LakeUnreachableError, match="right to create a missing container is not"):
        _ = lake.client


# --- locations ------------------------------------------------------------------------------------


def test_a_file_has_an_address_for_browsers_without_any_secret(lake):
    assert AzureLake(account_name="shop").url(PAGE) == (
        "https://shop.blob.core.windows.net/refined/page"
    )
    assert lake.url(PAGE) == f"{lake.account.endpoint}/refined/page"


def test_a_place_has_one_spelling_for_spark_here_and_on_databricks():
    lake = AzureLake(account_name="shop")

    assert lake.root == "az:/"
    assert (
        lake.spark_path("az://trusted/sales/_delta_log")
        == "abfss://trusted@shop.dfs.core.windows.net/sales/_delta_log"
    )


def test_no_secret_is_shown(azurite):
    account = azurite.new_account()
    lake = AzureLake(connection_string=account.connection_string)

    shown = f"{lake!r} {lake} {lake.account!r} {lake.files!r} {lake.client!r} {lake.address}"
    assert account.key not in shown


def test_a_key_of_another_account_in_the_environment_is_refused(azurite, monkeypatch):
    lake = AzureLake(connection_string=azurite.new_account().connection_string)
    monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", "sv=1&sig=hunter2")

    with pytest.raises(LakeUnreachableError, match="AZURE_STORAGE_SAS_TOKEN is set") as caught:
        _ = lake.storage_options

    assert "hunter2" not in str(caught.value)


# --- uploads --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, SMALL_BLOCK - 1, SMALL_BLOCK, SMALL_BLOCK + 1, 10_000])
def test_a_file_of_any_size_is_uploaded_whole(lake, small_blocks, size):
    write(lake, b"x" * size)

    assert lake.files.cat_file(PAGE) == b"x" * size


@pytest.mark.parametrize("before", [b"first", None], ids=["a file before", "none before"])
def test_an_upload_that_fails_half_way_leaves_the_last_file(
    lake, small_blocks, monkeypatch, before
):
    if before:
        write(lake, before)
    commit = BlobClient.commit_block_list

    def fail(*arguments, **options):
        raise OSError("the machine is gone")

    monkeypatch.setattr(BlobClient, "commit_block_list", fail)
    with pytest.raises(OSError, match="the machine is gone"):
        write(lake, big(b"b"))

    found = lake.files.find("az://refined")
    assert [lake.files.cat_file(path) for path in found] == ([before] if before else [])

    monkeypatch.setattr(BlobClient, "commit_block_list", commit)
    write(lake, big(b"c"))
    assert lake.files.cat_file(PAGE) == big(b"c")


def upload_and_stop(connection, make_lake):
    azure_lake.BLOCK = SMALL_BLOCK
    BlobClient.commit_block_list = lambda *_: stop_here(connection)
    write(make_lake(), big(b"b"))


def test_an_upload_that_is_killed_half_way_leaves_the_last_file(lake, azure_account, small_blocks):
    write(lake, b"first")

    kill_in_mid_write(upload_and_stop, partial(AzureLake, connection_string=azure_account))

    assert lake.files.cat_file(PAGE) == b"first"
    write(lake, big(b"c"))
    assert lake.files.cat_file(PAGE) == big(b"c")


def test_who_loses_its_blocks_to_another_writer_uploads_again(lake, small_blocks, monkeypatch):
    commit, commits = BlobClient.commit_block_list, []

    def commit_after_another(blob, blocks):
        commits.append(blocks)
        if len(commits) == 1:
            write(lake, big(b"b"))
        return commit(blob, blocks)

    monkeypatch.setattr(BlobClient, "commit_block_list", commit_after_another)

    write(lake, big(b"a"))

    assert len(commits) == 3  # the first one, the other's, and the first one's again
    assert lake.files.cat_file(PAGE) == big(b"a")


def test_two_writers_of_one_big_file_never_mix(lake, small_blocks):
    start, seen = threading.Barrier(2, timeout=20), set()

    def write_often(letter):
        start.wait()
        for _ in range(10):
            write(lake, big(letter))
            seen.add(lake.files.cat_file(PAGE))

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(write_often, (b"a", b"b")))

    assert seen <= {big(b"a"), big(b"b")}


UPLOAD_AND_MEASURE = """
import resource, sys
from storepipe_dagster.io_managers.azure_lake import AzureLake

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

lake, mebibyte = AzureLake(connection_string=sys.argv[1]), b"x" * 2**20
for size in (20, int(sys.argv[2])):
    before = peak()
    with lake.write("az://raw/big") as file:
        for _ in range(size):
            file.write(mebibyte)
print(peak() - before, lake.files.size("az://raw/big") // 2**20)
"""


def test_a_big_file_streams(azure_account):
    measured = subprocess.run(
        [sys.executable, "-c", UPLOAD_AND_MEASURE, azure_account, "80"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )

    grown, size = map(int, measured.stdout.split())
    assert size == 80
    assert grown < 32
