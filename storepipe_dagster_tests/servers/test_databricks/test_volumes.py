"""Files in volumes."""

import io
import os

import pytest
from databricks.sdk.errors import AlreadyExists, BadRequest, NotFound, PermissionDenied

from storepipe_dagster_tests.servers.test_databricks.asking import MEBIBYTE, STAGING


def test_a_file_in_a_volume_comes_back_whole(workspace, client):
    data = os.urandom(2 * MEBIBYTE + 7)
    client.files.create_directory(f"{STAGING}/run 1/step")
    path = f"{STAGING}/run 1/step/code.zip"
    client.files.upload(path, io.BytesIO(data))
    assert client.files.download(path).contents.read() == data
    assert client.files.get_metadata(path).content_length == len(data)
    assert (workspace.folder / path[1:]).read_bytes() == data
    client.files.delete(path)
    with pytest.raises(NotFound, match="file being accessed is not found") as refused:
        client.files.download(path)
    assert refused.value.error_code == "NOT_FOUND"
    with pytest.raises(NotFound):
        client.files.get_metadata(path)


def test_an_empty_file_in_a_volume_is_a_file(client):
    client.files.upload(f"{STAGING}/empty", io.BytesIO(b""), overwrite=True)
    assert client.files.download(f"{STAGING}/empty").contents.read() == b""


def test_a_file_in_a_volume_is_overwritten_on_demand_only(client):
    client.files.upload(f"{STAGING}/once", io.BytesIO(b"1"))
    with pytest.raises(AlreadyExists, match="already exists"):
        client.files.upload(f"{STAGING}/once", io.BytesIO(b"2"), overwrite=False)
    client.files.upload(f"{STAGING}/once", io.BytesIO(b"2"), overwrite=True)
    assert client.files.download(f"{STAGING}/once").contents.read() == b"2"


def test_a_directory_is_listed_page_by_page(client):
    client.files.create_directory(f"{STAGING}/pages/inner")
    for name in ("a", "b", "c"):
        client.files.upload(f"{STAGING}/pages/{name}", io.BytesIO(b"12"))
    listed = list(client.files.list_directory_contents(f"{STAGING}/pages", page_size=2))
    assert [(entry.name, entry.is_directory, entry.file_size) for entry in listed] == [
        ("a", False, 2),
        ("b", False, 2),
        ("c", False, 2),
        ("inner", True, None),
    ]
    assert listed[0].path == f"{STAGING}/pages/a"


def test_only_an_empty_directory_is_deleted(client):
    client.files.create_directory(f"{STAGING}/full")
    client.files.upload(f"{STAGING}/full/one", io.BytesIO(b"1"))
    with pytest.raises(BadRequest, match="not empty") as refused:
        client.files.delete_directory(f"{STAGING}/full")
    assert refused.value.get_error_details().error_info.reason == "FILES_API_DIRECTORY_IS_NOT_EMPTY"
    client.files.delete(f"{STAGING}/full/one")
    client.files.delete_directory(f"{STAGING}/full")
    with pytest.raises(NotFound):
        client.files.get_directory_metadata(f"{STAGING}/full")


@pytest.mark.parametrize(
    "path", ["/Volumes/main/storepipe/other/x", f"{STAGING}/no-such-directory/x"]
)
def test_an_upload_needs_a_volume_and_a_directory(client, path):
    with pytest.raises(NotFound):
        client.files.upload(path, io.BytesIO(b"1"))


def test_a_volume_may_be_closed_to_writers(client):
    path = "/Volumes/main/storepipe/readonly"
    client.files.get_directory_metadata(path)
    with pytest.raises(PermissionDenied, match="WRITE VOLUME") as refused:
        client.files.upload(f"{path}/x", io.BytesIO(b"1"))
    assert refused.value.error_code == "PERMISSION_DENIED"
