"""The load and the extract on MariaDB, beside what an engineer would write by hand.

Each measurement is a process of its own; all of them write and read the same rows. The peers do
less: they replace no day, count nothing, and verify nothing. Two extracts are no peers but limits:
what the server takes to write its rows as text itself, as ``mariadb-dump --tab`` does, and what its
own client takes to fetch them.
"""

import contextlib
import multiprocessing
import os
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import connectorx
import psutil
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pymysql
import sqlalchemy as sa
from pymysql.cursors import SSCursor

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster_tests.bench import watching
from storepipe_dagster_tests.bench.figures import UNKNOWN, Figures, growth, medians, table
from storepipe_dagster_tests.bench.watching import Taken
from storepipe_dagster_tests.servers.install import program
from storepipe_dagster_tests.servers.mariadb import Database, MariaDb

CAPTURE = "20200401T020000.000000Z.json"
LINES_PER_DAY, LINES_PER_CART = 100_000, 4
ROWS_PER_INSERT = 10_000
SCHEMA = schemas.CART_ITEMS
COLUMNS = ", ".join(SCHEMA.names)
KEY = ["cart_date", "cart_id", "occurrence", "line_number"]
ORDERED = f"SELECT {COLUMNS} FROM cart_items ORDER BY {', '.join(KEY)}"
INSERT = f"INSERT INTO cart_items ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)"
Work = Callable[[Database, int, Path], Taken]
TITLES = ("seconds", "CPU s", "server CPU s", "peak MiB", "MiB written")


class Clock:
    """Adds up what the measured parts of this process take; making the rows is none of them."""

    def __init__(self) -> None:
        self.seconds = self.cpu = 0.0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        seconds, cpu = time.monotonic(), time.process_time()
        yield
        self.seconds += time.monotonic() - seconds
        self.cpu += time.process_time() - cpu

    def taken(self) -> Taken:
        """The sums, and the peak of this process's memory in MiB."""
        # Not ru_maxrss, which begins with the memory of the process that started this one.
        peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
        return Taken(self.seconds, self.cpu, int(peak.group(1)) / 1024)


def days(count: int) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """So many rows by day, the same every time."""
    for number, first in enumerate(range(0, count, LINES_PER_DAY)):
        day = str(date(2020, 1, 1) + timedelta(days=number))
        yield (
            day,
            [
                (day, n // LINES_PER_CART, 1, n % LINES_PER_CART + 1, n * 7919 % 5000, n % 9 + 1)
                for n in range(first, min(count, first + LINES_PER_DAY))
            ],
        )


def connect(given: Database, **options: Any) -> pymysql.Connection:
    return pymysql.connect(
        host=given.host,
        port=given.port,
        user=given.user,
        password=given.password,
        database=given.database,
        **options,
    )


def engine(given: Database) -> sa.Engine:
    return sa.create_engine("mysql+pymysql://", creator=lambda: connect(given))


def load_by_storepipe(given: Database, count: int, _folder: Path) -> Taken:
    database, clock = given.resource(), Clock()
    for day, rows in days(count):
        with clock.running():
            database.replace_day(day, "cart_date", {CART_ITEMS: rows}, capture=CAPTURE)
    return clock.taken()


def load_by_executemany(given: Database, count: int, _folder: Path) -> Taken:
    connection, clock = connect(given), Clock()
    for _, rows in days(count):
        with clock.running():
            with connection.cursor() as cursor:
                cursor.executemany(INSERT, rows)
            connection.commit()
    return clock.taken()


def load_by_load_data(given: Database, count: int, folder: Path) -> Taken:
    connection, clock = connect(given, local_infile=True), Clock()
    for day, rows in days(count):
        with clock.running():
            file = folder / f"{day}.tsv"
            with file.open("w") as text:
                text.writelines("\t".join(map(str, row)) + "\n" for row in rows)
            with connection.cursor() as cursor:
                cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE cart_items ({COLUMNS})")
            connection.commit()
            file.unlink()
    return clock.taken()


def load_by_to_sql(given: Database, count: int, _folder: Path) -> Taken:
    import pandas as pd  # noqa: PLC0415  # the others do not pay for its memory

    connections, clock = engine(given), Clock()
    # Not with method="multi", which takes eight times as long: PyMySQL joins the rows by itself.
    options = {"if_exists": "append", "index": False, "chunksize": ROWS_PER_INSERT}
    for _, rows in days(count):
        with clock.running():
            pd.DataFrame(rows, columns=SCHEMA.names).to_sql("cart_items", connections, **options)
    return clock.taken()


def extract_by_storepipe(given: Database, _count: int, folder: Path) -> Taken:
    clock = Clock()
    with clock.running():
        reader = given.resource().read("cart_items", SCHEMA, KEY)
        write(folder / "storepipe.parquet", reader)
    return clock.taken()


def extract_by_sscursor(given: Database, _count: int, folder: Path) -> Taken:
    clock = Clock()
    with (
        clock.running(),
        connect(given, cursorclass=SSCursor) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(ORDERED)
        write(folder / "sscursor.parquet", batches(cursor))
    return clock.taken()


def batches(cursor: SSCursor) -> Iterator[pa.RecordBatch]:
    while rows := cursor.fetchmany(64 * 1024):
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def extract_by_connectorx(given: Database, _count: int, folder: Path) -> Taken:
    clock = Clock()
    with clock.running():
        url = f"mysql://{given.user}:{quote(given.password, safe='')}@{given.host}:{given.port}"
        reader = connectorx.read_sql(
            f"{url}/{given.database}", ORDERED, return_type="arrow_stream", batch_size=64 * 1024
        )
        write(folder / "connectorx.parquet", (batch.cast(SCHEMA) for batch in reader))
    return clock.taken()


def extract_by_client(given: Database, _count: int, folder: Path) -> Taken:
    file = folder / "client.tsv"
    options = [f"--host={given.host}", f"--port={given.port}", f"--user={given.user}"]
    options += ["--quick", "--batch", "--skip-column-names", f"--execute={ORDERED}"]
    client = [str(program("mariadb")), "--no-defaults", *options, given.database]
    # The shell only opens the file: it is replaced by the client.
    command = ["/bin/sh", "-c", 'exec "$@" > "$0"', str(file), *client]
    taken, _ = watching.run(command, {**os.environ, "MYSQL_PWD": given.password})
    return taken


def extract_by_server(given: Database, _count: int, folder: Path) -> Taken:
    clock = Clock()
    with connect(given) as connection, connection.cursor() as cursor, clock.running():
        cursor.execute(f"{ORDERED} INTO OUTFILE '{folder / 'server.tsv'}'")
    return clock.taken()


def write(path: Path, rows: Any) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)


LOADS = {
    "storepipe": load_by_storepipe,
    "PyMySQL executemany": load_by_executemany,
    "LOAD DATA LOCAL by hand": load_by_load_data,
    "pandas to_sql": load_by_to_sql,
}
EXTRACTS = {
    "storepipe": (extract_by_storepipe, "storepipe.parquet"),
    "PyMySQL SSCursor": (extract_by_sscursor, "sscursor.parquet"),
    "ConnectorX, no TLS": (extract_by_connectorx, "connectorx.parquet"),
    "limit: INTO OUTFILE": (extract_by_server, "server.tsv"),
    "limit: mariadb --quick": (extract_by_client, "client.tsv"),
}


def _measured(work: Work, given: Database, count: int, folder: Path, answer: Any) -> None:
    answer.put(work(given, count, folder))


def measured(
    server: MariaDb, work: Work, given: Database, count: int, folder: Path
) -> tuple[float, ...]:
    """What work takes in a process of its own, in the order of ``TITLES`` but for the last."""
    processes = multiprocessing.get_context("spawn")
    answer = processes.SimpleQueue()
    process = processes.Process(target=_measured, args=(work, given, count, folder, answer))
    before = cpu_of(server)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")
    taken = answer.get()
    return (taken.seconds, taken.cpu, cpu_of(server) - before, taken.peak)


def cpu_of(server: MariaDb) -> float:
    times = psutil.Process(server._process.pid).cpu_times()
    return times.user + times.system


def measure(server: MariaDb, count: int, runs: int) -> tuple[dict[str, Figures], ...]:
    """Print the figures of one size; gives those of the loads and of the extracts."""
    loads: dict[str, list[Figures]] = {}
    extracts: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)  # the server writes into it
        for _ in range(runs):
            checksums: set[Any] = set()
            for peer, load in LOADS.items():
                given = server.create_database()
                given.resource().replace_day(
                    "2019-01-01", "cart_date", {CART_ITEMS: []}, capture=CAPTURE
                )
                taken = measured(server, load, given, count, folder)
                loads.setdefault(peer, []).append((*taken, UNKNOWN))
                checksums.add(checksum(server, given))
                if peer != "PyMySQL executemany":
                    server.execute(f"DROP DATABASE `{given.database}`")
                else:
                    filled = given
            if len(checksums) > 1:
                raise SystemExit("the loads left differing rows")
            server.execute("GRANT FILE ON *.* TO %s@%s", [filled.user, "%"])  # for INTO OUTFILE
            for peer, (extract, file) in EXTRACTS.items():
                taken = measured(server, extract, filled, count, folder)
                size = (folder / file).stat().st_size / 2**20
                extracts.setdefault(peer, []).append((*taken, size))
            expect_equal([folder / file for _, file in EXTRACTS.values()])
            server.execute(f"DROP DATABASE `{filled.database}`")
    print(
        f"\n{count:,} cart lines in MariaDB, median of {runs}, in brackets the ratio to storepipe:"
    )
    figures = []
    for what, found in (("load", loads), ("extract", extracts)):
        figures.append({name: medians(measured) for name, measured in found.items()})
        print(f"  {what}")
        print("\n".join(table(figures[-1], TITLES)))
    return tuple(figures)


def checksum(server: MariaDb, given: Database) -> Any:
    """The rows of the loaded table, in two numbers."""
    lines = f"crc32(concat_ws(',', {COLUMNS}))"
    return server.execute(f"SELECT count(*), sum({lines}) FROM `{given.database}`.cart_items")


def expect_equal(files: list[Path]) -> None:
    """Stop if the peers' rows are not ours: times of different work compare nothing."""
    first = rows_of(files[0])
    for file in files[1:]:
        if not rows_of(file).equals(first):
            raise SystemExit(f"{file.name} holds other rows than {files[0].name}")
        file.unlink()


def rows_of(file: Path) -> pa.Table:
    if file.suffix == ".parquet":
        return pq.read_table(file)
    return pyarrow.csv.read_csv(
        file,
        pyarrow.csv.ReadOptions(column_names=SCHEMA.names),
        pyarrow.csv.ParseOptions(delimiter="\t"),
        pyarrow.csv.ConvertOptions(column_types=SCHEMA),
    ).cast(SCHEMA)


def compare(runs: int, sizes: Sequence[int] = (2_000_000, 10_000_000)) -> None:
    """Measure the load and the extract of so many cart lines, and how they grow."""
    with MariaDb() as server:
        found = [measure(server, size, runs) for size in sizes]
    for what, figures in zip(("load", "extract"), zip(*found, strict=True), strict=True):
        print("\n".join([f"\n  {what}", *growth("lines", sizes, figures, TITLES)]))
