"""The Dagster instance of the laptop: its home, its configuration, and a quicker event log.

Dagster's SQLite event log opens some ten connections and compiles some ten statements per event;
a range of days in one run writes two events per asset and day, so a year took over a minute of
nothing but logging. ``BatchingSqliteStorage`` keeps the same files and the same rows, and writes
each batch that Dagster hands it (``DAGSTER_EVENT_BATCH_SIZE``) in one transaction.
"""

import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster._core.events import ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sqlite.sqlite_event_log import (
    INDEX_SHARD_NAME,
    SqliteEventLogStorage,
)
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event, inspect
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import QueuePool

from storepipe_dagster.atomic_files import write_atomically
from storepipe_dagster.errors import UserError
from storepipe_dagster.local_disks import Condition, explained

BUSY_TIMEOUT_SECONDS = 60
BATCH_SIZE = 2000
RESERVE, RESERVED_BYTES = "reserve", 2**20
FILES_KEPT_OPEN = 8  # a webserver looks at one run after the other
SENSOR_SECONDS = 300  # to compare tables and tell of it; Dagster would stop them after 60
CONFIGURATION = """\
# Written by storepipe when this file is missing; yours to change.
storage:
  custom:
    module: storepipe_dagster.instance
    class: BatchingSqliteStorage
    config:
      base_dir:
        env: DAGSTER_HOME
run_launcher:
  module: storepipe_dagster.run_launcher
  class: WatchedRunLauncher
concurrency:
  runs:
    max_concurrent_runs: 1
  # One run at a time has the tables, those of commands included.
  pools:
    granularity: run
    default_limit: 1
# A run whose process died starts again where it was; steps try again for themselves where it helps.
run_retries:
  enabled: true
  max_retries: 2
  retry_on_asset_or_op_failure: false
# A run that nobody ends must not hold up the queue for ever.
run_monitoring:
  enabled: true
  max_runtime_seconds: 86400
nux:
  enabled: false
telemetry:
  enabled: false
"""


class InstanceError(UserError):
    """Dagster's home, or its configuration, cannot be used."""


class BatchingSqliteEventLogStorage(SqliteEventLogStorage):
    """Dagster's SQLite event log, with one engine per file and one transaction per batch."""

    def __init__(self, base_dir: str) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()  # the last used comes last
        self._held: dict[str, Connection] = {}
        self._tables: set[str] = set()
        self._asset_key_columns: set[str] = set()
        super().__init__(base_dir)
        self._db_lock = threading.RLock()  # type: ignore[assignment]

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = create_engine(
                self.conn_string_for_shard(shard),
                # To open a connection takes as long as an event, and to close it longer.
                poolclass=QueuePool,
                pool_size=1,
                max_overflow=-1,
                connect_args={"timeout": BUSY_TIMEOUT_SECONDS},
            )
            event.listen(engine, "connect", _commit_without_waiting_for_the_disk)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            self._engines[shard] = engine
        self._engines.move_to_end(shard)
        self._close_all_but(FILES_KEPT_OPEN)
        return self._engines[shard]

    def _close_all_but(self, last: int) -> None:
        while len(self._engines) > last:
            _, engine = self._engines.popitem(last=False)
            engine.dispose()

    def dispose(self) -> None:
        """Close the files; they are opened again when they are needed."""
        with self._db_lock:
            self._close_all_but(0)
        super().dispose()

    def wipe(self) -> None:
        """Remove the files, once they are closed."""
        with self._db_lock:
            self._close_all_but(0)
            super().wipe()

    @contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            if shard in self._held:
                yield self._held[shard]
            else:
                with self._engine(shard).begin() as connection:
                    yield connection

    def has_table(self, table_name: str) -> bool:
        """Whether the index has a table; asked per event, and the answer holds once it is yes."""
        if table_name not in self._tables:
            with self._connect(INDEX_SHARD_NAME) as connection:
                self._tables.update(inspect(connection).get_table_names())
        return table_name in self._tables

    def _has_asset_key_col_on_connection(self, conn: Connection, column_name: str) -> bool:
        if column_name not in self._asset_key_columns:
            found = super()._has_asset_key_col_on_connection(conn, column_name)
            self._asset_key_columns.update([column_name] if found else [])
        return column_name in self._asset_key_columns

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event as Dagster does, and wake who watches the run."""
        super().store_event(event)
        if event.run_id not in self._held:
            self._wake(event.run_id)

    def _wake(self, run_id: str) -> None:
        """Show webservers that a run's file changed: a commit writes to the log beside it only."""
        os.utime(self.path_for_shard(run_id))

    def store_event_batch(self, events: Sequence[EventLogEntry]) -> None:
        """Store events as ``store_event`` does, in one transaction per file."""
        runs = {entry.run_id for entry in events}
        self._store_batch(events, runs)
        for run_id in runs:
            self._wake(run_id)

    def _store_batch(self, events: Sequence[EventLogEntry], runs: Iterable[str]) -> None:
        with self._db_lock, ExitStack() as transactions:
            for shard in {INDEX_SHARD_NAME, *runs}:
                self._held[shard] = transactions.enter_context(self._connect(shard))
                transactions.callback(self._held.pop, shard)
            for of_assets, together in groupby(events, _is_of_an_asset):
                if of_assets:
                    self._store_asset_events([*together])
                else:
                    for entry in together:
                        self.store_event(entry)

    def _store_asset_events(self, events: Sequence[EventLogEntry]) -> None:
        """Store events of assets by one statement per file.

        What the log knows of an asset as a whole is the newest event's, and written once.
        """
        rows = [self._event_to_row(entry) for entry in events]
        insert = SqlEventLogStorageTable.insert()
        for run_id, of_run in groupby(rows, itemgetter("run_id")):
            self._held[run_id].execute(insert, [*of_run])
        index = self._held[INDEX_SHARD_NAME]
        numbered = insert.returning(SqlEventLogStorageTable.c.id, sort_by_parameter_order=True)
        event_ids = index.execute(numbered, rows).scalars().all()
        self._store_asset_event_tags(index, events, event_ids)
        newest: dict[Any, tuple[EventLogEntry, int]] = {}
        for entry, event_id in zip(events, event_ids, strict=True):
            told = entry.get_dagster_event()
            asset_and_type = (told.asset_key, told.event_type)
            newest.pop(asset_and_type, None)  # so that they stay in the order of time
            newest[asset_and_type] = (entry, event_id)
        for entry, event_id in newest.values():
            self._store_asset_event(index, entry, event_id)


def _is_of_an_asset(entry: EventLogEntry) -> bool:
    return entry.is_dagster_event and entry.dagster_event_type in ASSET_EVENTS


class BatchingSqliteStorage(DagsterSqliteStorage):
    """Dagster's SQLite storage with the batching event log."""

    def __init__(self, base_dir: str, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(base_dir, inst_data)
        event_log = self._event_log_storage
        self._event_log_storage = BatchingSqliteEventLogStorage(event_log._base_dir)  # noqa: SLF001

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData, config_value: Any
    ) -> "BatchingSqliteStorage":
        """Build the storage from dagster.yaml."""
        return cls.from_local(inst_data=inst_data, **config_value)


def use_dagster_home(default: Path) -> None:
    """Point Dagster at its home; unless DAGSTER_HOME names one, at ours, made if absent."""
    size = os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", str(BATCH_SIZE))
    if not re.fullmatch("[0-9]{1,9}", size):
        raise InstanceError(f"DAGSTER_EVENT_BATCH_SIZE={size} is no number of events.")
    os.environ.setdefault("DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS", str(SENSOR_SECONDS))
    if "DAGSTER_HOME" not in os.environ:
        configuration = default / "dagster.yaml"
        if not is_configured(configuration):
            write_atomically(configuration, CONFIGURATION)
        os.environ["DAGSTER_HOME"] = str(default)


def is_configured(configuration: Path) -> bool:
    """Whether our home has a dagster.yaml; an empty one is what a killed write leaves, and is none.

    Raises ``InstanceError`` where something of it is lacking: Dagster would do without, and let
    two runs have the tables at once.
    """
    if not configuration.exists():
        return False
    text = configuration.read_text(encoding="utf-8", errors="replace")
    if not text.strip("\0 \t\r\n"):
        return False
    if problem := _problem_of(text):
        raise InstanceError(
            f"{configuration} {problem}: a write of it may have been cut off. Remove it, and the "
            "next command writes it anew, or add what is lacking."
        )
    return True


def _problem_of(configuration: str) -> str | None:
    """What a dagster.yaml of ours lacks of what was written."""
    try:
        content = yaml.safe_load(configuration)
    except yaml.YAMLError:
        return "is not YAML"
    content = content if isinstance(content, dict) else {}
    sections = list(yaml.safe_load(CONFIGURATION))
    if lacking := [name for name in sections if content.get(name) is None]:
        return f"lacks {', '.join(lacking)}"
    written = configuration.rstrip()
    if CONFIGURATION.startswith(written) and written != CONFIGURATION.rstrip():
        return f"ends in the middle of {sections[-1]}"
    return None


def open_instance(default_home: Path) -> dg.DagsterInstance:
    """The instance that the commands and ``make dev`` share."""
    use_dagster_home(default_home)
    try:
        return dg.DagsterInstance.get()
    except (dg.DagsterError, yaml.YAMLError) as error:
        home = os.environ["DAGSTER_HOME"]
        raise InstanceError(f"DAGSTER_HOME={home} cannot be used: {error}") from None


@contextmanager
def failure_recorded(
    instance: dg.DagsterInstance, run: dg.DagsterRun, tell: Callable[[str], None]
) -> Iterator[None]:
    """Record a run that a disk has ended as failed, with the reason; raises ``DiskError``.

    Room for that is kept, whatever fills the disk meanwhile. Where it cannot be written
    nevertheless, the next command records that the process of the run is gone.
    """
    home = Path(instance.root_directory)
    try:
        (home / RESERVE).write_bytes(bytes(RESERVED_BYTES))
        yield
    except Exception as error:
        problem = explained(error, [home])
        if problem is None:
            raise
        (home / RESERVE).unlink(missing_ok=True)
        if problem.condition is Condition.FULL:
            with suppress(SQLAlchemyError):
                instance.report_run_failed(run, str(problem))
        tell("What is finished is complete; everything else is as it was before.")
        raise problem from error
    finally:
        (home / RESERVE).unlink(missing_ok=True)


def _commit_without_waiting_for_the_disk(connection: Any, _record: Any) -> None:
    """In WAL mode a crash of the machine may lose the last commits but never corrupts the file."""
    connection.execute("PRAGMA synchronous=NORMAL")
