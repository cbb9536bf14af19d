"""The lake in an Azure storage account: one container per zone.

Here are the three spellings of a location: ``az://container/path`` for fsspec, delta-rs and DuckDB,
``abfss://container@account.dfs.core.windows.net/path`` for Spark, and the blob's own name for
uploads. dagster-azure's own resource makes the same clients, but without a say in their retries; it
keeps the compute logs (``production/dagster.yaml``).
"""

import os
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import IO, Any

import duckdb
import tenacity
from adlfs import AzureBlobFileSystem
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import (
    AzureError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
)
from azure.identity import AzureCliCredential, DefaultAzureCredential
from azure.identity.aio import DefaultAzureCredential as AsyncDefaultAzureCredential
from azure.storage.blob import (
    BlobBlock,
    BlobClient,
    BlobServiceClient,
    ContainerClient,
    ExponentialRetry,
)
from azure.storage.blob import aio as blob_aio
from deltalake.exceptions import DeltaError
from py4j.protocol import Py4JError
from pyspark.errors import PySparkException

from storepipe_dagster.io_managers.abfs_options import abfs_options
from storepipe_dagster.io_managers.azure_errors import LakeUnreachableError, code_of, unreachable
from storepipe_dagster.io_managers.copies import Copies
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.storage_account import PUBLIC_SUFFIX, StorageAccount

CONTAINERS = ("raw", "trusted", "refined")
BLOCK = 8 * 2**20
UPLOAD_TRIES = 5
RETRIES = 5
RETRYING: dict[str, Any] = {
    # 0.5, 2, 4, 8 and 16 s, a second more or less; the library's own waits begin at 15 s.
    "initial_backoff": 0,
    "increment_base": 2,
    "random_jitter_range": 1,
    **{f"retry_{kind}": RETRIES for kind in ("total", "connect", "read", "status")},
}
PATIENT: dict[str, Any] = {"connection_timeout": 10, "read_timeout": 60}
DOWNLOADING: dict[str, Any] = {"max_single_get_size": BLOCK, "max_chunk_get_size": BLOCK}
IMPATIENT: dict[str, Any] = {
    "connection_timeout": 5,
    "read_timeout": 5,
    "retry_policy": ExponentialRetry(retry_total=0),
}
MANAGED_IDENTITY = "IDENTITY_ENDPOINT"  # as App Service, Functions and Container Apps have it
# What object_store, in delta-rs and in Sail, reads from the environment whatever it is told.
SECRET_VARIABLES = (
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_TOKEN",
)
# What fails when the account does, besides Azure's own clients.
ENGINES = (OSError, DeltaError, PySparkException, Py4JError, duckdb.Error)


class AzureFiles(AzureBlobFileSystem):  # type: ignore[misc]
    """fsspec's Azure filesystem on a client of ours: our retries, and our account only."""

    def __init__(self, account: StorageAccount, **options: Any) -> None:
        self.account = account
        super().__init__(account.name, anon=True, **options)

    def do_connect(self) -> None:
        """Connect; the parent would look for another account in the environment."""
        self.service_client = blob_aio.BlobServiceClient(
            self.account.endpoint,
            credential=_secret(self.account) or AsyncDefaultAzureCredential(),
            retry_policy=blob_aio.ExponentialRetry(**RETRYING),
            **PATIENT,
        )


@dataclass(frozen=True)
class AzureLake(Lake):
    """Containers ``raw``, ``trusted`` and ``refined`` of a storage account, created if absent."""

    root: str = "az:/"
    connection_string: str | None = field(default=None, repr=False)
    account_name: str | None = None
    # Sail knows the suffix of the public cloud only; where the account really is, tells it the
    # endpoint in ``storage_options``.
    on_sail: bool = True

    @property
    def account(self) -> StorageAccount:
        """The account that the configuration names."""
        if self.connection_string:
            return StorageAccount.from_connection_string(self.connection_string)
        return StorageAccount.named(str(self.account_name))

    @property
    def address(self) -> str:
        """Where the account answers."""
        return self.account.endpoint

    @property
    def client(self) -> BlobServiceClient:
        """Azure's client, once the containers are there; raises ``LakeUnreachableError``."""
        try:
            return _opened(self.account)
        except AzureError as error:
            raise unreachable(error, self.account) from None

    @property
    def files(self) -> AzureFiles:
        """The filesystem of the account; raises ``LakeUnreachableError``."""
        self.client  # noqa: B018  # the containers are made
        return _files(self.account)

    @property
    def storage_options(self) -> dict[str, str]:
        """How object_store, in delta-rs and in Sail, opens the account.

        Without a key or signature it looks for an identity itself, much as Azure's credential does:
        a service principal or workload identity in the environment, then a managed identity.
        """
        account, identity = self.account, self.client.credential
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
        elif isinstance(getattr(identity, "_successful_credential", None), AzureCliCredential):
            options["azure_use_azure_cli"] = "true"
        elif MANAGED_IDENTITY in os.environ:  # delta-rs does not look for it
            options["azure_identity_endpoint"] = os.environ[MANAGED_IDENTITY]
        _expect_no_other_secret(options)
        return options

    @property
    def spark_options(self) -> dict[str, str]:
        """How the Spark of a cluster opens the account."""
        return abfs_options(self.account, os.environ)

    def spark_path(self, path: str) -> str:
        """The same place as Spark spells it."""
        container, name = _split(path)
        suffix = PUBLIC_SUFFIX if self.on_sail else self.account.suffix
        return f"abfss://{container}@{self.account.name}.dfs.{suffix}/{name}"

    def parquet_in_sql(
        self, connection: Any, path: str, files: Mapping[str, int], copies: Copies
    ) -> str:
        """What reads Parquet files below a path in DuckDB's SQL, by way of Arrow and copies."""
        from storepipe_dagster.io_managers.arrow_files import (  # noqa: PLC0415
            copied_extracts,
            registered,
        )

        sizes = {file.removeprefix(f"{path}/"): size for file, size in files.items()}
        found = copied_extracts(copies.of(path, sizes, self.download), [*sizes])
        return registered(connection, found, path)

    def delta_in_sql(
        self, connection: Any, table: Any, files: Mapping[str, int], copies: Copies
    ) -> str:
        """What reads some files of a Delta table in DuckDB's SQL, by way of Arrow and copies."""
        from storepipe_dagster.io_managers.arrow_files import registered  # noqa: PLC0415

        return registered(connection, self.rows_of(table, files, copies), table.table_uri)

    def rows_of(self, table: Any, files: Mapping[str, int], copies: Copies) -> Any:
        """The rows of some files of a Delta table as an Arrow dataset, which copies them."""
        from storepipe_dagster.io_managers.arrow_files import (  # noqa: PLC0415
            CopiedDataset,
            table_in,
        )

        copied = copies.of(table.table_uri.rstrip("/"), files, self.download)
        return CopiedDataset(table_in(copied.folder, table, files), copied)

    def download(self, path: str, first: int, length: int | None, file: IO[bytes]) -> None:
        """Write some bytes of a file of the lake, or all, to one that is open.

        Raises ``LakeUnreachableError``, and ``FileNotFoundError``.
        """
        blob = self.client.get_blob_client(*_split(path))
        try:
            blob.download_blob(first or None, length, max_concurrency=1).readinto(file)
        except ResourceNotFoundError as error:
            raise FileNotFoundError(f"{path}: {code_of(error)}") from None
        except AzureError as error:
            raise unreachable(error, self.account) from None

    def url(self, path: str) -> str | None:
        """The blob's address, for who may read it; no signature is in it."""
        return f"{self.account.endpoint}/{path.removeprefix('az://')}"

    def sizes_in(self, folder: str) -> dict[str, int]:
        """The files in a folder and below, with their sizes in bytes."""
        return {f"az://{path}": size for path, size in super().sizes_in(folder).items()}

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn failures of the account into ``LakeUnreachableError``."""
        try:
            yield
        except AzureError as error:
            raise unreachable(error, self.account) from None
        except ENGINES:
            # Theirs tell little, "Generic MicrosoftAzure error" maybe: ask the account itself.
            try:
                make_containers(connect(self.account, **IMPATIENT))
            except AzureError as error:
                raise unreachable(error, self.account) from None
            raise

    @contextmanager
    def batch(self) -> Iterator[Any]:
        """Files that are seen one by one, each once it is whole."""
        yield self

    def settle(self, path: str, wanted: str) -> str:
        """Leave a file where it is: the account would copy it."""
        del wanted
        return path

    def sync(self, paths: Iterable[str]) -> None:
        """Nothing: Azure has written what it has confirmed."""

    @contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for writing that is uploaded, and seen, only once it is whole."""
        blob = self.client.get_blob_client(*_split(path))
        with tempfile.TemporaryFile() as file:
            yield file
            _upload(file, blob)


def _expect_no_other_secret(options: Mapping[str, str]) -> None:
    """Refuse a key in the environment, which delta-rs and Sail would prefer to what we tell."""
    for name in SECRET_VARIABLES:
        if os.environ.get(name, options.get(name.lower())) != options.get(name.lower()):
            raise LakeUnreachableError(
                f"{name} is set in the environment, and would open the lake in place of "
                "AZURE_STORAGE_CONNECTION_STRING or the Azure identity. Unset it."
            )


def connect(account: StorageAccount, **options: Any) -> BlobServiceClient:
    """Azure's client for an account; nothing is sent yet."""
    patient = PATIENT | DOWNLOADING | {"retry_policy": ExponentialRetry(**RETRYING)}
    credential = _secret(account) or DefaultAzureCredential()
    return BlobServiceClient(account.endpoint, credential=credential, **(patient | options))


@cache
def _opened(account: StorageAccount) -> BlobServiceClient:
    """One client per process, its containers made; each resource has a lake of its own."""
    client = connect(account)
    make_containers(client)
    return client


@cache
def _files(account: StorageAccount) -> AzureFiles:
    return AzureFiles(account, use_listings_cache=False, skip_instance_cache=True)


def make_containers(client: BlobServiceClient) -> None:
    """Make the lake's containers if they are absent; raises ``AzureError``."""
    for name in CONTAINERS:
        container = client.get_container_client(name)
        try:
            if not _seems_there(container):
                container.create_container()
        except ResourceExistsError as error:
            if code_of(error) != "ContainerAlreadyExists":  # another process was quicker
                raise


def _seems_there(container: ContainerClient) -> bool:
    try:
        return bool(container.exists())
    except HttpResponseError as error:
        # Who has rights on blobs alone may not look at containers, and can still work in them.
        if code_of(error) != "AuthorizationPermissionMismatch":
            raise
        return True


def _secret(account: StorageAccount) -> AzureNamedKeyCredential | AzureSasCredential | None:
    if account.key:
        return AzureNamedKeyCredential(account.name, account.key)
    return AzureSasCredential(account.sas) if account.sas else None


def _split(path: str) -> tuple[str, str]:
    """The container, and the blob's name in it."""
    container, _, name = path.removeprefix("az://").partition("/")
    return container, name


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
    return isinstance(error, HttpResponseError) and code_of(error) == "InvalidBlockList"
