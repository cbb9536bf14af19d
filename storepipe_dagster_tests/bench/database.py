"""The load and the extract on MariaDB, beside what an engineer would write by hand.

Each measurement is a process of its own; all of them write and read the same rows. The peers do
less: they replace no day, count nothing, and verify nothing.
"""

import multiprocessing
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import connectorx
import pyarrow as pa
import pyarrow.parquet as pq
import pymysql
from pymysql.cursors import SSCursor

from storepipe_dagster.layers.mysql.schemas import CART_ITEMS
from storepipe_dagster.layers.relational import schemas
from storepipe_dagster_tests.servers.mariadb import Database, MariaDb

LINES_PER_DAY, LINES_PER_CART = 100_000, 4
SCHEMA = schemas.CART_ITEMS
COLUMNS = ", ".join(SCHEMA.names)
KEY = ["cart_date", "cart_id", "occurrence", "line_number"]
ORDERED = f"SELECT {COLUMNS} FROM cart_items ORDER BY {', '.join(KEY)}"
INSERT = f"INSERT INTO cart_items ({COLUMNS}) VALUES (%s, %s, %s, %s, %s, %s)"
Work = Callable[[Database, int, Path], float]


def days(count: int) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """The rows of each day, the same every time."""
    for number in range(count):
        day = str(date(2020, 1, 1) + timedelta(days=number))
        first = number * LINES_PER_DAY
        yield (
            day,
            [
                (day, n // LINES_PER_CART, 1, n % LINES_PER_CART + 1, n * 7919 % 5000, n % 9 + 1)
                for n in range(first, first + LINES_PER_DAY)
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


def load_by_storepipe(given: Database, count: int, _folder: Path) -> float:
    database, seconds = given.resource(), 0.0
    for day, rows in days(count):
        started = time.monotonic()
        database.replace_day(day, "cart_date", {CART_ITEMS: rows})
        seconds += time.monotonic() - started
    return seconds


def load_by_executemany(given: Database, count: int, _folder: Path) -> float:
    connection, seconds = connect(given), 0.0
    for _, rows in days(count):
        started = time.monotonic()
        with connection.cursor() as cursor:
            cursor.executemany(INSERT, rows)
        connection.commit()
        seconds += time.monotonic() - started
    return seconds


def load_by_load_data(given: Database, count: int, folder: Path) -> float:
    connection, seconds = connect(given, local_infile=True), 0.0
    for day, rows in days(count):
        started = time.monotonic()
        file = folder / f"{day}.tsv"
        with file.open("w") as text:
            text.writelines("\t".join(map(str, row)) + "\n" for row in rows)
        with connection.cursor() as cursor:
            cursor.execute(f"LOAD DATA LOCAL INFILE '{file}' INTO TABLE cart_items ({COLUMNS})")
        connection.commit()
        file.unlink()
        seconds += time.monotonic() - started
    return seconds


def extract_by_storepipe(given: Database, _count: int, folder: Path) -> float:
    started = time.monotonic()
    reader = given.resource().read("cart_items", SCHEMA, KEY)
    write(folder / "storepipe.parquet", reader)
    return time.monotonic() - started


def extract_by_sscursor(given: Database, _count: int, folder: Path) -> float:
    started = time.monotonic()
    with connect(given, cursorclass=SSCursor) as connection, connection.cursor() as cursor:
        cursor.execute(ORDERED)
        write(folder / "sscursor.parquet", batches(cursor))
    return time.monotonic() - started


def batches(cursor: SSCursor) -> Iterator[pa.RecordBatch]:
    while rows := cursor.fetchmany(64 * 1024):
        columns = zip(*rows, strict=True)
        arrays = [
            pa.array(values, field.type) for values, field in zip(columns, SCHEMA, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def extract_by_connectorx(given: Database, _count: int, folder: Path) -> float:
    started = time.monotonic()
    url = f"mysql://{given.user}:{quote(given.password, safe='')}@{given.host}:{given.port}"
    reader = connectorx.read_sql(
        f"{url}/{given.database}", ORDERED, return_type="arrow_stream", batch_size=64 * 1024
    )
    write(folder / "connectorx.parquet", (batch.cast(SCHEMA) for batch in reader))
    return time.monotonic() - started


def write(path: Path, rows: Any) -> None:
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for batch in rows:
            writer.write_batch(batch)


LOADS = {
    "storepipe": load_by_storepipe,
    "PyMySQL executemany": load_by_executemany,
    "LOAD DATA LOCAL by hand": load_by_load_data,
}
EXTRACTS = {
    "storepipe": extract_by_storepipe,
    "PyMySQL SSCursor": extract_by_sscursor,
    "ConnectorX, no TLS": extract_by_connectorx,
}


def _measured(work: Work, given: Database, count: int, folder: Path, answer: Any) -> None:
    seconds = work(given, count, folder)
    # Not ru_maxrss, which begins with the memory of the process that started this one.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    answer.put((seconds, int(peak.group(1)) / 1024))


def measured(work: Work, given: Database, count: int, folder: Path) -> tuple[float, float]:
    """Seconds, and the peak of memory in MiB, of work in a process of its own."""
    processes = multiprocessing.get_context("spawn")
    answer = processes.SimpleQueue()
    process = processes.Process(target=_measured, args=(work, given, count, folder, answer))
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"{work.__name__} failed")
    return answer.get()


def measure(server: MariaDb, count: int, runs: int) -> None:
    """Print the figures of one size."""
    found: dict[str, list[tuple[float, float]]] = {}
    checksums: set[Any] = set()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(runs):
            for peer, load in LOADS.items():
                given = server.create_database()
                given.resource().replace_day("2019-01-01", "cart_date", {CART_ITEMS: []})
                found.setdefault(f"load: {peer}", []).append(measured(load, given, count, folder))
                checksums.add(checksum(server, given))
                if peer != "PyMySQL executemany":
                    server.execute(f"DROP DATABASE `{given.database}`")
                else:
                    filled = given
            if len(checksums) > 1:
                raise SystemExit("the loads left differing rows")
            for peer, extract in EXTRACTS.items():
                found.setdefault(f"extract: {peer}", []).append(
                    measured(extract, filled, count, folder)
                )
            expect_equal(sorted(folder.glob("*.parquet")))
            server.execute(f"DROP DATABASE `{filled.database}`")
    print(f"\n{count * LINES_PER_DAY:,} cart lines in MariaDB, median of {runs}:")
    print(f"  {'':<36}{'seconds':>9}{'peak MiB':>10}{'to storepipe':>14}")
    medians = {
        name: [statistics.median(values) for values in zip(*results, strict=True)]
        for name, results in found.items()
    }
    for name, (seconds, peak) in medians.items():
        ours = medians[f"{name.split(':')[0]}: storepipe"][0]
        print(f"  {name:<36}{seconds:>9.2f}{peak:>10.0f}{seconds / ours:>13.2f}x")


def checksum(server: MariaDb, given: Database) -> Any:
    """The rows of the loaded table, in two numbers."""
    lines = f"crc32(concat_ws(',', {COLUMNS}))"
    return server.execute(f"SELECT count(*), sum({lines}) FROM `{given.database}`.cart_items")


def expect_equal(files: list[Path]) -> None:
    """Stop if the peers' rows are not ours: times of different work compare nothing."""
    first = pq.read_table(files[0])
    for file in files[1:]:
        if not pq.read_table(file).equals(first):
            raise SystemExit(f"{file.name} holds other rows than {files[0].name}")


def compare(runs: int, sizes: tuple[int, ...] = (20, 100)) -> None:
    """Measure 2 million lines, and 10 million once for the memory."""
    with MariaDb() as server:
        measure(server, sizes[0], runs)
        measure(server, sizes[1], 1)
