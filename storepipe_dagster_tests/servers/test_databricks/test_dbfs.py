"""Files in DBFS: blocks, handles, limits."""

import base64
import io
import os

import pytest
from databricks.sdk.errors import (
    BadRequest,
    InvalidParameterValue,
    PermissionDenied,
    ResourceAlreadyExists,
    ResourceDoesNotExist,
)

from storepipe_dagster_tests.servers.test_databricks.asking import MEBIBYTE, STAGING


def test_a_file_of_several_blocks_comes_back_whole(workspace, client):
    data = os.urandom(2 * MEBIBYTE + 7)
    client.dbfs.upload("/blocks/code.zip", io.BytesIO(data))
    assert client.dbfs.download("/blocks/code.zip").read() == data
    last = client.dbfs.read("dbfs:///blocks/code.zip", offset=2 * MEBIBYTE, length=MEBIBYTE)
    assert (last.bytes_read, base64.b64decode(last.data)) == (7, data[-7:])
    assert (workspace.folder / "dbfs" / "blocks" / "code.zip").read_bytes() == data
    (listed,) = client.dbfs.list("/blocks")
    assert (listed.path, listed.file_size, listed.is_dir) == ("/blocks/code.zip", len(data), False)


def test_a_file_appears_when_its_handle_is_closed(client):
    handle = client.dbfs.create("/late/events.pkl").handle
    client.dbfs.add_block(handle, base64.b64encode(b"events").decode())
    assert not client.dbfs.exists("/late/events.pkl")
    client.dbfs.close(handle)
    assert client.dbfs.get_status("/late/events.pkl").file_size == 6
    with pytest.raises(ResourceDoesNotExist, match="handle"):
        client.dbfs.add_block(handle, "")


def test_an_empty_read_has_empty_data(client):
    client.dbfs.upload("/empty", io.BytesIO(b""))
    for offset in (0, 10):
        read = client.dbfs.read("/empty", offset=offset, length=MEBIBYTE)
        assert (read.bytes_read, read.data) == (0, "")


def test_blocks_and_reads_have_limits(client):
    handle = client.dbfs.create("/too-big").handle
    block = base64.b64encode(bytes(MEBIBYTE + 1)).decode()
    with pytest.raises(BadRequest) as refused:
        client.dbfs.add_block(handle, block)
    assert refused.value.error_code == "MAX_BLOCK_SIZE_EXCEEDED"
    with pytest.raises(BadRequest) as refused:
        client.dbfs.read("/too-big", length=MEBIBYTE + 1)
    assert refused.value.error_code == "MAX_READ_SIZE_EXCEEDED"
    with pytest.raises(InvalidParameterValue, match="negative"):
        client.dbfs.read("/too-big", offset=-1)


def test_what_is_not_in_dbfs_is_missing(client):
    with pytest.raises(ResourceDoesNotExist, match=r"on path dbfs:/nowhere\.") as refused:
        client.dbfs.read("/nowhere")
    assert refused.value.error_code == "RESOURCE_DOES_NOT_EXIST"


def test_a_file_of_dbfs_is_overwritten_on_demand_only(client):
    client.dbfs.upload("/once", io.BytesIO(b"1"))
    with pytest.raises(ResourceAlreadyExists):
        client.dbfs.create("/once")
    client.dbfs.upload("/once", io.BytesIO(b"2"), overwrite=True)
    assert client.dbfs.download("/once").read() == b"2"


def test_a_directory_of_dbfs_is_deleted_with_all_in_it_on_demand_only(client):
    client.dbfs.upload("/full/one", io.BytesIO(b"1"))
    client.dbfs.mkdirs("/full/inner")
    with pytest.raises(BadRequest) as refused:
        client.dbfs._dbfs_api.delete("/full")
    assert refused.value.error_code == "IO_ERROR"
    client.dbfs._dbfs_api.delete("/full", recursive=True)
    client.dbfs._dbfs_api.delete("/full")  # what is gone already is no error
    assert not client.dbfs.exists("/full")


def test_dbfs_knows_no_volumes(client):
    with pytest.raises(PermissionDenied, match="No operations allowed on this path"):
        client.dbfs.create(f"dbfs:{STAGING}/main.py")


def test_a_new_workspace_has_no_dbfs(workspace, client):
    workspace.dbfs_enabled = False
    try:
        with pytest.raises(PermissionDenied, match=r"root is disabled. .* on path: /staging"):
            client.dbfs.create("/staging")
    finally:
        workspace.dbfs_enabled = True
