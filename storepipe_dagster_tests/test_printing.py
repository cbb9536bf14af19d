"""Tests of `storepipe_dagster.printing`: rows for people and for programs."""

import json
import subprocess
import sys
from datetime import datetime, timezone

from storepipe_dagster.printing import print_rows

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
