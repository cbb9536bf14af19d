"""Copies, on this machine, of what queries read in a lake elsewhere; made when a query needs them.

Of a big Parquet file only the columns that are asked for are copied: the copy is as long as the
file, with holes. What DuckDB reads by way of these copies is in ``arrow_files``.
"""

import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory, mkdtemp
from types import FrameType
from typing import IO, TYPE_CHECKING, TypeVar

import duckdb

from storepipe_dagster.errors import UserError

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData

AT_ONCE = 8
SECONDS_UNTIL_HEARD = 0.2
WHOLE = 2**20  # a file up to this size is copied with one request
FOOTER = 2**16  # the end of a file, which has most often all that tells where the columns are
END = 8  # the last bytes of a file: the length of the footer, and PAR1
# Writes bytes of a file of the lake: its path, the first byte, how many; none for all there are.
Download = Callable[[str, int, int | None, IO[bytes]], None]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Copies:
    """The copies that the queries of a connection have made, and what ended one of them."""

    folder: str
    failures: list[BaseException] = field(default_factory=list)
    interrupted: threading.Event = field(default_factory=threading.Event)

    def of(self, path: str, sizes: Mapping[str, int], download: Download) -> "CopiedFiles":
        """Files below a path of a lake, with their sizes in bytes; nothing is copied yet."""
        return CopiedFiles(path, sizes, download, self)


@contextmanager
def copies() -> Iterator[Copies]:
    """Copies that last as long as the block; what ended a query is raised in place of its text.

    DuckDB tells of an error, or of an interruption, in words of its own.
    """
    with TemporaryDirectory(prefix="storepipe-sql-", ignore_cleanup_errors=True) as folder:
        made = Copies(folder)
        try:
            with _telling(made.interrupted):
                yield made
        except (duckdb.Error, RuntimeError) as error:
            if made.failures:
                raise made.failures[0] from None
            if error.__cause__ is not None and not isinstance(error.__cause__, Exception):
                raise error.__cause__ from None  # "Query interrupted"
            raise


class CopiedFiles:
    """Parquet files, of which a query's columns are copied before it reads them."""

    def __init__(
        self,
        path: str,
        sizes: Mapping[str, int],
        download: Download,
        copies: Copies,
    ) -> None:
        self.folder = Path(mkdtemp(dir=copies.folder))
        self._path = path
        self._sizes = sizes
        self._download = download
        self._copies = copies
        self._whole = set[str]()
        self._footers: dict[str, FileMetaData] = {}
        self._starts: dict[str, set[int]] = {}  # of the columns that are here
        self._one_at_a_time = threading.Lock()  # DuckDB reads a table in several threads

    def copy(self, names: Collection[str], columns: Collection[str] | None) -> None:
        """Have columns of some files here, or all of them; raises what ``Download`` does."""
        try:
            with self._one_at_a_time:
                _side_by_side(
                    lambda name: self._copy(name, columns), names, self._copies.interrupted
                )
        except BaseException as error:
            if isinstance(error, UserError) or not isinstance(error, Exception):
                self._copies.failures.append(error)
            raise

    def _copy(self, name: str, columns: Collection[str] | None) -> None:
        if name in self._whole:
            return
        target = self.folder / name
        if self._sizes[name] <= WHOLE:
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as file:
                self._download(f"{self._path}/{name}", 0, None, file)
            self._whole.add(name)
            return
        if name not in self._footers:
            self._footers[name] = self._footer(name, target)
            self._starts[name] = set()
        chunks = {
            first: length
            for first, length in _chunks(self._footers[name], columns)
            if first not in self._starts[name]
        }
        for first, length in _joined(chunks):
            self._fill(name, target, first, length)
        self._starts[name] |= chunks.keys()

    def _footer(self, name: str, target: Path) -> "FileMetaData":
        from pyarrow.parquet import read_metadata  # noqa: PLC0415  # slow

        size = self._sizes[name]
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.truncate(size)
        self._fill(name, target, size - FOOTER, FOOTER)
        with target.open("rb") as file:
            file.seek(size - END)
            length = int.from_bytes(file.read(4), "little") + END
        if FOOTER < length <= size:
            self._fill(name, target, size - length, length - FOOTER)
        return read_metadata(target)

    def _fill(self, name: str, target: Path, first: int, length: int) -> None:
        with target.open("r+b") as file:
            file.seek(first)
            self._download(f"{self._path}/{name}", first, length, file)


def _chunks(footer: "FileMetaData", columns: Collection[str] | None) -> Iterator[tuple[int, int]]:
    """Where the columns are in a file: the first byte of each piece, and its length."""
    for number in range(footer.num_row_groups):
        group = footer.row_group(number)
        for index in range(group.num_columns):
            chunk = group.column(index)
            if columns is None or chunk.path_in_schema.split(".")[0] in columns:
                pages = (chunk.dictionary_page_offset, chunk.data_page_offset)
                yield min(page for page in pages if page), chunk.total_compressed_size


def _joined(chunks: Mapping[int, int]) -> list[tuple[int, int]]:
    """The same bytes, in one piece where one begins as another ends."""
    joined: list[tuple[int, int]] = []
    for first, length in sorted(chunks.items()):
        if joined and sum(joined[-1]) == first:
            joined[-1] = (joined[-1][0], joined[-1][1] + length)
        else:
            joined.append((first, length))
    return joined


@contextmanager
def _telling(interrupted: threading.Event) -> Iterator[None]:
    """Tell of signals: DuckDB, which has heard of one, waits for its threads, and they may for us.

    Only the main thread hears of signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in handlers.items() if callable(handler)}

    def tell(number: int, frame: FrameType | None) -> None:
        interrupted.set()
        before[signal.Signals(number)](number, frame)

    for number in before:
        signal.signal(number, tell)
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is tell:
                signal.signal(number, handler)


def _side_by_side(
    work: Callable[[Item], None], items: Collection[Item], interrupted: threading.Event
) -> None:
    """Do some work on each item in threads; who is interrupted does not wait for them to end."""
    waiting, done = deque(items), SimpleQueue[BaseException | None]()

    def go_on() -> None:
        while True:
            try:
                item = waiting.popleft()
            except IndexError:
                return
            try:
                work(item)
                done.put(None)
            except BaseException as error:  # noqa: BLE001  # raised where it is waited for
                done.put(error)

    for _ in range(min(AT_ONCE, len(items))):
        threading.Thread(target=go_on, name="copies", daemon=True).start()
    try:
        finished = 0
        while finished < len(items):
            try:
                error = done.get(timeout=SECONDS_UNTIL_HEARD)
            except Empty:
                if interrupted.is_set():
                    raise InterruptedError from None
                continue
            if error is not None:
                raise error
            finished += 1
    finally:
        waiting.clear()
