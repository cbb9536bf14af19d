"""The lake: paths of artifacts, and writes that readers see whole or not at all.

File formats live in the modules beside this one. Key = ``zone/…/table``, so a path is
``<root>/<zone>/<rest>``, and the folder of a day ``<root>/<zone>/<rest>/<column>=YYYY-MM-DD``.
"""

import os
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import IO, TYPE_CHECKING, Any, Protocol

import fsspec
import tenacity

from storepipe_dagster import local_disks
from storepipe_dagster.errors import UserError

if TYPE_CHECKING:
    from storepipe_dagster.io_managers.copies import Copies

PARQUET_FILE = "data.parquet"
SHOWN = 3
PARTITION_COLUMN = "partition_expr"  # Dagster's name for it in an asset's metadata

TRIES = 8
SYNCS_AT_ONCE = 8
# Of delta-rs, Sail and the object store below both: another came first, or the way was cut.
PASSING = (
    "Failed to commit transaction",
    "Concurrent",
    "DELTA_CONCURRENT",
    "Missing commit file",
    "Connection refused",
    "Connection reset",
    "Broken pipe",
    "connection closed",
    "error sending request",
    "error reading a body",
    "end of file before message length",
    "operation timed out",
    "status code: 500",
    "status code: 503",
    "ServerBusy",
)


class Key(Protocol):
    """What an artifact is known by: an asset key of Dagster's, or a ``TableKey``."""

    @property
    def path(self) -> Sequence[str]:
        """The zone, what is in it, the table."""


@dataclass(frozen=True)
class TableKey:
    """The key of a table where Dagster is not loaded."""

    path: tuple[str, ...]


class MissingUpstreamError(UserError):
    """An asset was asked for before what it is made of; the message says what to materialise."""

    state = "has nothing in the lake"
    selection = '+key:"{}"'

    def __init__(self, key: Key, days: Sequence[str] = ()) -> None:
        name = "/".join(key.path)
        when = f" for {shortened(days)}" if days else ""
        span = f"--from {days[0]} --to {days[-1]}" if days else "--from DATE --to DATE"
        super().__init__(
            f"{name} {self.state}{when}. Materialise it first, for example with: "
            f"storepipe run {span} --select '{self.selection.format(name)}'"
        )


@dataclass(frozen=True)
class Lake:
    """A folder that keeps the artifacts; ``azure_lake`` keeps them elsewhere.

    Paths are those of fsspec, delta-rs and DuckDB; Spark may spell them differently.
    """

    root: str

    @property
    def address(self) -> str:
        """Where the lake is, for people."""
        return self.root

    @property
    def files(self) -> Any:
        """The fsspec filesystem of the lake."""
        # A listing kept from an earlier step would hide what this run has written since.
        return fsspec.core.url_to_fs(self.root, use_listings_cache=False)[0]

    @property
    def storage_options(self) -> dict[str, str]:
        """What delta-rs needs to know to open the tables; also Sail, as environment variables."""
        return {}

    @property
    def spark_options(self) -> dict[str, str]:
        """What Spark of a cluster needs to know to open the lake, as settings of its session."""
        return {}

    def spark_path(self, path: str) -> str:
        """The same place as Spark spells it."""
        return path

    def parquet_in_sql(
        self, connection: Any, path: str, files: Mapping[str, int], copies: "Copies"
    ) -> str:
        """What reads Parquet files below a path in DuckDB's SQL, their folders as columns.

        The files come with their sizes in bytes.
        """
        del connection, copies  # another lake has a use for them
        # DuckDB makes a column of each folder like a=b, and the lake may be in one.
        above = [f'"{part.split("=")[0]}"' for part in path.split("/") if "=" in part]
        columns = f"* EXCLUDE ({', '.join(dict.fromkeys(above))})" if above else "*"
        return f"SELECT {columns} FROM {_read_parquet([*files], hive=True)}"

    def delta_in_sql(
        self, connection: Any, table: Any, files: Mapping[str, int], copies: "Copies"
    ) -> str:
        """What reads some files of a Delta table in DuckDB's SQL."""
        del connection, copies
        # DuckDB itself reads the files of a folder, and does so quicker than by way of Arrow.
        columns = ", ".join(f'"{field.name}"' for field in table.schema().fields)
        root = _folder_of(table)
        hive = bool(table.metadata().partition_columns)
        return f"SELECT {columns} FROM {_read_parquet([f'{root}/{file}' for file in files], hive)}"

    def rows_of(self, table: Any, files: Mapping[str, int], copies: "Copies") -> Any:
        """The rows of some files of a Delta table, also older ones, as an Arrow dataset."""
        from storepipe_dagster.io_managers.arrow_files import table_in  # noqa: PLC0415

        del copies
        return table_in(_folder_of(table), table, files)

    def url(self, path: str) -> str | None:
        """Where a browser may open a file; nothing for a folder, which it will not open."""
        del path
        return None  # another lake has an answer

    def is_empty(self) -> bool:
        """Whether nothing was ever captured into it."""
        raw = f"{self.root}/raw"
        return not self.files.exists(raw) or not self.files.ls(raw, detail=False)

    def path(self, key: Key, *rest: str) -> str:
        """Where an asset is kept, or a part of it."""
        return "/".join([self.root, *key.path, *rest])

    def day_path(self, key: Key, column: str | None, day: str | None, *rest: str) -> str:
        """Where one day of a partitioned asset is kept; without a day, the asset."""
        return self.path(key, f"{column}={day}", *rest) if column and day else self.path(key, *rest)

    def paths_by_day(
        self, key: Key, column: str | None, days: Sequence[str | None]
    ) -> dict[str | None, dict[str, int]]:
        """The files in the folder of each day, with their sizes; one listing for all of them."""
        folders = {self.day_path(key, column, day): day for day in days}
        found: dict[str | None, dict[str, int]] = {day: {} for day in days}
        listed = self.sizes_in(self.path(key) if len(folders) > 1 else next(iter(folders)))
        for path, size in listed.items():
            folder = path.rpartition("/")[0]
            if folder in folders:
                found[folders[folder]][path] = size
        return found

    def days_with(self, key: Key, column: str | None, ending: str) -> set[str | None]:
        """The days of an asset that have a file with this ending; ``None`` for one without days."""
        folder, found = self.path(key), set[str | None]()
        for path in self.all_in(folder):
            of_day, _, name = f"/{path.removeprefix(f'{folder}/')}".rpartition("/")
            day = of_day.removeprefix(f"/{column}=") if column and of_day else None
            if name.endswith(ending) and self.day_path(key, column, day) == f"{folder}{of_day}":
                found.add(day)
        return found

    def all_in(self, folder: str) -> list[str]:
        """The files in a folder and below; none if it is not there."""
        return [*self.sizes_in(folder)]

    def sizes_in(self, folder: str) -> dict[str, int]:
        """The files in a folder and below, with their sizes in bytes."""
        found = self.files.find(folder, detail=True)
        return {path: info["size"] for path, info in found.items()}

    @contextmanager
    def explained(self) -> Iterator[None]:
        """A place for what uses the lake: turns what its disk refuses into a ``DiskError``."""
        try:
            yield
        except Exception as error:
            places = [Path(self.root), local_disks.temporary_folder()]
            if problem := local_disks.explained(error, places):
                raise problem from None
            raise

    @contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for writing that takes its name only once it is whole."""
        with self.batch() as batch, batch.write(path) as file:
            yield file

    @contextmanager
    def batch(self) -> Iterator["Batch"]:
        """Files that take their names together, once all of them are whole and on the disk."""
        batch = Batch(self.files)
        try:
            yield batch
            _sync(batch.paths)
            for unfinished, path in batch.paths.items():
                self.files.mv(unfinished, path)
        except BaseException:
            for unfinished in filter(self.files.exists, batch.paths):
                self.files.rm_file(unfinished)
            raise
        _sync(batch.folders)

    def settle(self, path: str, wanted: str) -> str:
        """Rename a file that nobody knows yet, if that is no copy; gives where it is then."""
        self.files.makedirs(wanted.rpartition("/")[0], exist_ok=True)
        self.files.mv(path, wanted)
        return wanted

    def sync(self, paths: Iterable[str]) -> None:
        """Wait until files that others have written are on the disk, with their names.

        A loss of power takes what is not; a lake elsewhere keeps what it has confirmed.
        """
        written = [*paths]
        folders = {str(folder) for path in written for folder in PurePath(path).parents}
        _sync([*written, *(folder for folder in folders if folder.startswith(self.root))])


class Batch:
    """Files that are written under other names; ``paths`` has the names that they are to take.

    ``folders`` are those whose names change.
    """

    def __init__(self, files: Any) -> None:
        self.paths: dict[str, str] = {}
        self.folders: set[str] = set()
        self._files = files

    @contextmanager
    def write(self, path: str) -> Iterator[IO[bytes]]:
        """Open a file for writing."""
        folder, name = path.rsplit("/", 1)
        unfinished = f"{folder}/.{name}.{uuid.uuid4().hex}"
        self._make(folder)
        try:
            with self._files.open(unfinished, "wb") as file:
                yield file
        except BaseException:
            if self._files.exists(unfinished):
                self._files.rm_file(unfinished)
            raise
        self.paths[unfinished] = path

    def _make(self, folder: str) -> None:
        self.folders.add(folder)
        if not self._files.exists(folder):
            self._make(folder.rsplit("/", 1)[0])
            self._files.makedirs(folder, exist_ok=True)


def _folder_of(table: Any) -> str:
    """Where a Delta table on this machine is."""
    return str(table.table_uri).removeprefix("file://").rstrip("/")


def _read_parquet(files: Sequence[str], hive: bool) -> str:
    quoted = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{quoted}], hive_partitioning = {str(hive).lower()})"


def _sync(paths: Collection[str]) -> None:
    """Wait until files, or folders with the names in them, are on the disk."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, nor a file that is only read
        return
    with ThreadPoolExecutor(min(len(paths), SYNCS_AT_ONCE) or 1) as threads:
        [*threads.map(_sync_one, paths)]


def _sync_one(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def passes(error: BaseException) -> bool:
    """Whether another try may get over it."""
    return not isinstance(error, UserError) and any(sign in str(error) for sign in PASSING)


# For what reads, or replaces whole, with delta-rs or Sail, whose own tries end early.
persistent = tenacity.retry(
    retry=tenacity.retry_if_exception(passes),
    stop=tenacity.stop_after_attempt(TRIES),
    wait=tenacity.wait_random_exponential(0.5, 10),  # some 20 s in all
    reraise=True,
)


def shortened(texts: Sequence[str], of_what: str = "days") -> str:
    """The first of some texts, and how many more there are."""
    shown = ", ".join(texts[:SHOWN])
    return shown if len(texts) <= SHOWN else f"{shown} and {len(texts) - SHOWN} more {of_what}"
