"""The lake in an Azure storage account: one container per zone.

Here are the three spellings of a location: ``az://container/path`` for fsspec, delta-rs and DuckDB,
``abfss://container@account.dfs.core.windows.net/path`` for Spark, and the blob's own name for
uploads.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import IO, Any

import tenacity
from adlfs import AzureBlobFileSystem
from azure.core.exceptions import AzureError, HttpResponseError, ResourceExistsError
from azure.identity.aio import DefaultAzureCredential
from azure.storage.blob import BlobBlock, BlobClient, BlobServiceClient, ExponentialRetry
from azure.storage.blob import aio as blob_aio
from dagster_azure.blob import AzureBlobStorageDefaultCredential, AzureBlobStorageResource

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.storage_account import PUBLIC_SUFFIX, StorageAccount

CONTAINERS = ("raw", "trusted", "refined")
BLOCK = 8 * 2**20
UPLOAD_TRIES = 5
FORBIDDEN = 403
# 1, 2, 4, 8, 16 s between tries; the library's own waits begin at 15 s.
RETRIES: dict[str, Any] = {
    "retry_policy": ExponentialRetry(initial_backoff=0, increment_base=2, retry_total=6),
    "connection_timeout": 10,
    "read_timeout": 60,
}
CREDENTIAL_VARIABLES = ("AZURE_CLIENT_ID", "AZURE_FEDERATED_TOKEN_FILE", "IDENTITY_ENDPOINT")


class LakeUnreachableError(UserError):
    """The storage account cannot be used; the message says why and what to do."""


class AzureFiles(AzureBlobFileSystem):  # type: ignore[misc]
    """fsspec's Azure filesystem, with our patience."""

    def do_connect(self) -> None:
        """Connect as the parent does, with retries that do not begin at 15 seconds."""
        super().do_connect()
        if self.connection_string:
            self.service_client = blob_aio.BlobServiceClient.from_connection_string(
                self.connection_string, **_async_retries()
            )
        else:
            self.service_client = blob_aio.BlobServiceClient(
                f"https://{self.account_host}", credential=self.credential, **_async_retries()
            )


class AzureLake(Lake):
    """Containers ``raw``, ``trusted`` and ``refined`` of a storage account, created if absent."""

    root: str = "az:/"
    connection_string: str | None = None
    account_name: str | None = None
    spark_suffix: str = PUBLIC_SUFFIX

    @cached_property
    def account(self) -> StorageAccount:
        """The account that the configuration names."""
        if self.connection_string:
            return StorageAccount.from_connection_string(self.connection_string)
        return StorageAccount.named(str(self.account_name))

    @cached_property
    def client(self) -> BlobServiceClient:
        """Azure's client, once the containers are there; raises ``LakeUnreachableError``."""
        client = connect(self.account)
        try:
            for container in CONTAINERS:
                _create_if_absent(client, container)
        except AzureError as error:
            raise LakeUnreachableError(explain(error, self.account)) from None
        return client

    @cached_property
    def files(self) -> Any:
        """The filesystem of the account."""
        self.client  # noqa: B018  # the containers are made
        options = {"use_listings_cache": False, "skip_instance_cache": True}
        if text := self.account.connection_string:
            return AzureFiles(self.account.name, connection_string=text, **options)
        return AzureFiles(
            self.account.name,
            credential=DefaultAzureCredential(),
            account_host=self.account.endpoint.removeprefix("https://"),
            **options,
        )

    @cached_property
    def storage_options(self) -> dict[str, str]:
        """How object_store, in delta-rs and in Sail, opens the account.

        Without a key or signature it looks for an identity itself, as Azure's credential does: a
        service principal or workload identity in the environment, a managed identity, az login.
        """
        self.client  # noqa: B018  # the containers are made
        account = self.account
        options = {
            "azure_storage_account_name": account.name,
            "azure_storage_endpoint": account.endpoint,
        }
        if account.endpoint.startswith("http://"):
            options["azure_allow_http"] = "true"
        if account.key:
            options["azure_storage_account_key"] = account.key
        elif account.sas:
            options["azure_storage_sas_token"] = account.sas
        elif _logged_in_by_cli():
            options["azure_use_azure_cli"] = "true"
        return options

    def spark_path(self, path: str) -> str:
        """The same place as Spark spells it, here and on Databricks."""
        container, _, rest = path.removeprefix("az://").partition("/")
        return f"abfss://{container}@{self.account.name}.dfs.{self.spark_suffix}/{rest}"

    @contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for writing that is uploaded, and seen, only once it is whole."""
        container, _, name = path.removeprefix("az://").partition("/")
        blob = self.client.get_blob_client(container, name)
        with tempfile.TemporaryFile() as file:
            yield file
            _upload(file, blob)


def connect(account: StorageAccount, **options: Any) -> BlobServiceClient:
    """Azure's client for an account; nothing is sent yet."""
    options = RETRIES | options
    if text := account.connection_string:
        return BlobServiceClient.from_connection_string(text, **options)
    azure = AzureBlobStorageResource(
        account_url=account.endpoint, credential=AzureBlobStorageDefaultCredential()
    )
    return BlobServiceClient(account.endpoint, credential=azure._raw_credential(), **options)  # noqa: SLF001


def explain(error: AzureError, account: StorageAccount) -> str:
    """What is wrong with the account; no secret."""
    code = _code(error) if isinstance(error, HttpResponseError) else ""
    return (
        f"{account.endpoint} cannot be used: {code or type(error).__name__}. "
        "Check the address, the key or identity and its rights, and the network."
    )


def _create_if_absent(client: BlobServiceClient, name: str) -> None:
    container = client.get_container_client(name)
    try:
        if not container.exists():
            container.create_container()
    except ResourceExistsError:
        return  # another process was quicker
    except HttpResponseError as error:
        # A signature for blobs alone may not look at containers; it may still work in them.
        if error.status_code != FORBIDDEN or _code(error) != "AuthorizationPermissionMismatch":
            raise


def _upload(file: IO[bytes], blob: BlobClient) -> None:
    """Replace a blob in one step.

    A small file is one request. Blocks of a bigger one get ids of their own: Azure keeps the
    uncommitted blocks of all writers of a blob together, and with the library's ids, which are
    offsets, two of them would mix. Who commits first discards the other's blocks: that one starts
    again.
    """
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception(_lost_its_blocks),
        stop=tenacity.stop_after_attempt(UPLOAD_TRIES),
        wait=tenacity.wait_random_exponential(0.2, 10),
        reraise=True,
    ):
        with attempt:
            file.seek(0)
            first = file.read(BLOCK)
            if len(first) < BLOCK:
                blob.upload_blob(first, overwrite=True)
                return
            blocks = []
            while first:
                blocks.append(BlobBlock(uuid.uuid4().hex))
                blob.stage_block(blocks[-1].id, first)
                first = file.read(BLOCK)
            blob.commit_block_list(blocks)


def _lost_its_blocks(error: BaseException) -> bool:
    return isinstance(error, HttpResponseError) and _code(error) == "InvalidBlockList"


def _code(error: HttpResponseError) -> str:
    return str(getattr(error, "error_code", None) or "")


def _async_retries() -> dict[str, Any]:
    policy = blob_aio.ExponentialRetry(initial_backoff=0, increment_base=2, retry_total=6)
    return RETRIES | {"retry_policy": policy}


def _logged_in_by_cli() -> bool:
    """Whether az login is what there is."""
    folder = Path(os.environ.get("AZURE_CONFIG_DIR", "~/.azure")).expanduser()
    others = any(name in os.environ for name in CREDENTIAL_VARIABLES)
    return not others and bool(shutil.which("az")) and (folder / "azureProfile.json").exists()
