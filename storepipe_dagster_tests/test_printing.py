"""Tests of `storepipe_dagster.printing`: rows for people and for programs."""

import inspect
import json
import os
import subprocess
import sys
from datetime import datetime, timezone

import duckdb
import pytest
from dagster._core.instance import types
from dagster._core.instance.methods import event_methods

from storepipe_dagster.printing import (
    NOTES_OF_DAGSTER,
    DuplicateColumnsError,
    on_screen,
    print_query,
    print_rows,
)

COLUMNS = {"number": "BIGINT", "time": "TIMESTAMPTZ", "text": "VARCHAR", "good": "BOOLEAN"}
TIME = datetime(2020, 1, 1, 12, 30, tzinfo=timezone.utc)


def test_rows_keep_their_values_and_types(capsys):
    print_rows(COLUMNS, [(1, TIME, "it's; 'quoted'", True), (None, None, None, False)], "json")
    assert json.loads(capsys.readouterr().out) == [
        {"number": 1, "time": TIME.isoformat(), "text": "it's; 'quoted'", "good": True},
        {"number": None, "time": None, "text": None, "good": False},
    ]


def test_no_rows_are_an_empty_array(capsys):
    print_rows(COLUMNS, [], "json")
    assert json.loads(capsys.readouterr().out) == []


def test_rows_are_printed_without_pandas():
    code = (
        "import sys; from storepipe_dagster.printing import print_rows; "
        "print_rows({'a': 'BIGINT'}, [(1,)], 'csv'); print('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["a", "1", "False"]


def printed(capsys, query, form="json"):
    with duckdb.connect() as connection:
        print_query(connection, query, form)
    return capsys.readouterr().out


def test_decimals_are_exact_numbers_in_json(capsys):
    query = (
        "SELECT 12345678901234567890.12::DECIMAL(38, 2) AS a, 5.00::DECIMAL(4, 2) AS b, "
        "[0.10::DECIMAL(3, 2)] AS c, {'d': 1e-9::DECIMAL(20, 10)} AS d"
    )
    assert printed(capsys, query) == (
        '[{"a": 12345678901234567890.12, "b": 5.00, "c": [0.10], "d": {"d": 0.0000000010}}\n]\n'
    )


def test_what_json_has_no_number_for_is_null_however_deep(capsys):
    query = "SELECT 'nan'::DOUBLE AS a, ['inf'::FLOAT, 1.5] AS b, {'c': '-inf'::DOUBLE} AS c"
    assert json.loads(printed(capsys, query)) == [{"a": None, "b": [None, 1.5], "c": {"c": None}}]


@pytest.mark.parametrize(
    "value",
    ["MAP {1: 'ä'}", "'\u2028\"'", "'00:01'::TIME", "'x'::BLOB", "INTERVAL 1 DAY", "uuid()"],
)
def test_every_value_is_json(capsys, value):
    ((shown,),) = [row.values() for row in json.loads(printed(capsys, f"SELECT {value} AS a"))]
    assert shown


def test_columns_of_one_name_are_refused_in_json(capsys):
    with pytest.raises(DuplicateColumnsError, match="The columns a are there more than once"):
        printed(capsys, "SELECT 1 AS a, 2 AS a, 3 AS b")
    assert printed(capsys, "SELECT 1 AS a, 2 AS a", "csv") == "a,a\n1,2\n"


def test_a_locale_without_letters_is_no_error():
    code = "import sys; from storepipe_dagster.cli import main; sys.argv[1:] = ['\\xe9']; main()"
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_what_dagster_notes_on_a_history_that_it_cannot_write_is_kept_off_the_screen(capfd):
    with on_screen() as tell:
        sys.stderr.write(f"{NOTES_OF_DAGSTER[0]}(sqlite3.OperationalError) database is locked\n")
        sys.stderr.write("A warning.\n")
        assert sys.stderr.fileno() > 0  # of which Dagster's compute logs are made
        tell("Progress.")
    assert sorted(capfd.readouterr().err.splitlines()) == ["A warning.", "Progress."]


def test_dagster_notes_it_in_these_words():
    sources = inspect.getsource(event_methods) + inspect.getsource(types)
    assert [note for note in NOTES_OF_DAGSTER if note not in sources] == []
