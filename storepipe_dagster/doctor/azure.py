"""The lake of the azure deployment: three containers of a storage account."""

import logging
from collections.abc import Callable
from urllib.parse import parse_qs

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)
from azure.storage.blob import BlobServiceClient, ContainerClient

from storepipe_dagster.doctor import SECONDS, TroubleError
from storepipe_dagster.io_managers.azure_errors import code_of, explain
from storepipe_dagster.io_managers.azure_lake import CONTAINERS, IMPATIENT, connect
from storepipe_dagster.settings import Settings
from storepipe_dagster.storage_account import StorageAccount

QUICK = IMPATIENT | {"connection_timeout": SECONDS, "read_timeout": SECONDS}
ABSENT_BLOB = "storepipe-doctor-looks-for-this"
ABSENT_ETAG = '"0x0"'


def check(settings: Settings) -> str:
    """We may list, read, write and delete in each container, or make it."""
    text = settings.azure_storage_connection_string
    account = (
        StorageAccount.from_connection_string(text.get_secret_value())
        if text
        else StorageAccount.named(str(settings.azure_storage_account_name))
    )
    # It tells at length what `explain` tells in a sentence.
    logging.getLogger("azure.identity").setLevel(logging.ERROR)
    try:
        with connect(account, **QUICK) as client:
            absent = [name for name in CONTAINERS if not _may_be_used(client, name, account)]
    except AzureError as error:
        raise TroubleError(explain(error, account)) from None
    if not absent:
        return f"{account.endpoint}: containers {', '.join(CONTAINERS)}"
    if not _may_make_and_fill(account):
        raise TroubleError(
            f"{account.endpoint} has no container {' or '.join(absent)}, and the signature may not "
            "make and fill any. Use one with the resource types service, container and object "
            "(srt=sco), and the permissions read, write, delete, list, add and create (sp=rwdlac)."
        )
    return f"{account.endpoint}: the first run makes the containers {', '.join(absent)}"


def _may_be_used(client: BlobServiceClient, name: str, account: StorageAccount) -> bool:
    """Whether the container is there; raises when something may not be done in it."""
    container = client.get_container_client(name)
    return all(_lets_us(container, right, account) for right in ACTS)


def _lets_us(container: ContainerClient, right: str, account: StorageAccount) -> bool:
    try:
        ACTS[right](container)
    except (ResourceNotFoundError, ResourceModifiedError) as error:
        # Unless the container is missing, it let us; there was nothing to do it to.
        return code_of(error) != "ContainerNotFound"
    except HttpResponseError as error:
        if error.response is None:  # no identity: nothing was asked
            raise
        where = f"to {right} in the container {container.container_name}"
        raise TroubleError(f"{explain(error, account)} It was asked {where}.") from None
    return True


def _list(container: ContainerClient) -> None:
    next(container.list_blobs(results_per_page=1).by_page(), None)


def _read(container: ContainerClient) -> None:
    container.get_blob_client(ABSENT_BLOB).get_blob_properties()


def _write(container: ContainerClient) -> None:
    """Replace a blob, but only the one with an ETag that none has."""
    container.get_blob_client(ABSENT_BLOB).upload_blob(
        b"", overwrite=True, etag=ABSENT_ETAG, match_condition=MatchConditions.IfNotModified
    )


def _delete(container: ContainerClient) -> None:
    container.get_blob_client(ABSENT_BLOB).delete_blob()


# The server looks at the rights first, then for the blob: none of these changes a thing.
ACTS: dict[str, Callable[[ContainerClient], None]] = {
    "list": _list,
    "read": _read,
    "write": _write,
    "delete": _delete,
}


def _may_make_and_fill(account: StorageAccount) -> bool:
    """What a signature says of itself; keys may, and an identity's roles are not to be seen."""
    if account.key or not account.sas:
        return True
    signed = parse_qs(account.sas)
    types, permissions = (set(signed.get(name, [""])[0]) for name in ("srt", "sp"))
    return types >= set("co") and permissions >= set("rwdl")
