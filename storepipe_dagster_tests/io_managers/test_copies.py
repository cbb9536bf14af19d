"""Tests of `storepipe_dagster.io_managers.copies`, and of `arrow_files`, which reads the copies."""

import os
import signal
import threading
import time
from contextlib import contextmanager
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from storepipe_dagster.io_managers import copies as module
from storepipe_dagster.io_managers.arrow_files import copied_extracts, registered
from storepipe_dagster.io_managers.azure_errors import LakeAwayError
from storepipe_dagster.io_managers.copies import copies

DAYS = [date(2024, 1, day) for day in (1, 2, 3)]
ROWS = 20_000
PATH = "az://raw/relational/carts"
FIRST, SECOND, THIRD = (f"cart_date={day}/data.parquet" for day in DAYS)
SUM = f'SELECT sum(cart_id) FROM "files of {PATH}"'


@pytest.fixture
def away(tmp_path):
    """A folder with an extract of three days, which stands for a lake elsewhere."""
    for name, day in zip((FIRST, SECOND, THIRD), DAYS, strict=True):
        rows = pa.table(
            {
                "cart_date": pa.array([day] * ROWS),
                "cart_id": range(ROWS),
                "city": [os.urandom(8).hex() for _ in range(ROWS)],
                "product_ids": [[number, number + 1] for number in range(ROWS)],
            }
        )
        (tmp_path / name).parent.mkdir()
        pq.write_table(rows, tmp_path / name, row_group_size=8_000)
    return tmp_path


class Downloads:
    """Takes bytes of the files, and counts them."""

    def __init__(self, away):
        self.away = away
        self.bytes = {}
        self.fault = None

    def __call__(self, path, first, length, file):
        if self.fault:
            self.fault()
        name = path.removeprefix(f"{PATH}/")
        data = (self.away / name).read_bytes()[first:]
        data = data if length is None else data[:length]
        self.bytes[name] = self.bytes.get(name, 0) + len(data)
        file.write(data)

    def size(self, name):
        return (self.away / name).stat().st_size


@pytest.fixture
def downloads(away):
    return Downloads(away)


@contextmanager
def connected(downloads):
    sizes = {name: downloads.size(name) for name in (FIRST, SECOND, THIRD)}
    with copies() as made, duckdb.connect(":memory:") as connection:
        files = made.of(PATH, sizes, downloads)
        registered(connection, copied_extracts(files, [*sizes]), PATH)
        downloads.bytes.clear()  # of the first file, which has the columns
        yield connection


@pytest.fixture
def connection(downloads):
    with connected(downloads) as connection:
        yield connection


@pytest.fixture
def big_files(monkeypatch):
    monkeypatch.setattr(module, "WHOLE", 1000)
    monkeypatch.setattr(module, "FOOTER", 100)


def test_only_the_days_that_a_query_asks_for_are_copied_and_each_once(connection, downloads):
    query = f"{SUM} WHERE cart_date BETWEEN $first AND $last"

    for _ in range(2):
        asked = connection.execute(query, {"first": DAYS[1], "last": DAYS[2]})
        assert asked.fetchall() == [(2 * sum(range(ROWS)),)]

    assert downloads.bytes == {name: downloads.size(name) for name in (SECOND, THIRD)}


def test_who_asks_for_no_rows_copies_nothing(connection, downloads):
    assert len(connection.execute(f'DESCRIBE "files of {PATH}"').fetchall()) == 4

    assert downloads.bytes == {}


def test_of_a_big_file_only_the_columns_that_are_asked_for_are_copied(
    big_files, connection, downloads
):
    assert connection.execute(f"{SUM} WHERE cart_date = '2024-01-02'").fetchall() == [
        (sum(range(ROWS)),)
    ]
    assert downloads.bytes.keys() == {SECOND}
    assert downloads.bytes[SECOND] < downloads.size(SECOND) / 3


def test_the_other_columns_of_a_big_file_come_when_they_are_asked_for(
    big_files, connection, downloads, away
):
    connection.execute(SUM).fetchall()

    rows = connection.execute(f"FROM \"files of {PATH}\" WHERE cart_date = '2024-01-03'")

    assert rows.to_arrow_table().to_pylist() == pq.read_table(away / THIRD).to_pylist()
    assert downloads.bytes[THIRD] < 1.1 * downloads.size(THIRD)
    assert downloads.bytes[SECOND] < downloads.size(SECOND) / 3


def ask(downloads, fault):
    """Let this happen before each download."""
    with connected(downloads) as connection:
        downloads.fault = fault
        connection.sql(SUM).to_arrow_table()


def be_away():
    raise LakeAwayError("the account is away")


def test_what_is_wrong_with_the_account_is_raised_as_it_is(downloads):
    with pytest.raises(LakeAwayError, match=r"^the account is away$"):
        ask(downloads, be_away)


def test_a_file_that_is_gone_is_named(downloads, away):
    with pytest.raises(duckdb.Error, match=THIRD):
        ask(downloads, lambda: (away / THIRD).unlink(missing_ok=True))


def interrupt_soon():
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()


def test_an_interruption_does_not_wait_for_an_account_that_does_not_answer(downloads):
    answer = threading.Event()
    began = time.monotonic()
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        ask(downloads, answer.wait)
    assert time.monotonic() < began + 10
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    answer.set()


def ask_for_ever():
    with copies(), duckdb.connect(":memory:") as connection:
        while True:
            connection.execute("SELECT sum(range * random()) FROM range(1_000_000)").fetchall()


def test_a_query_that_is_interrupted_tells_so():
    interrupt_soon()
    with pytest.raises(KeyboardInterrupt):
        ask_for_ever()


def test_copies_last_as_long_as_the_block(downloads):
    with copies() as made:
        files = made.of(PATH, {FIRST: downloads.size(FIRST)}, downloads)
        files.copy([FIRST], None)
        assert (files.folder / FIRST).exists()
    assert not files.folder.exists()
