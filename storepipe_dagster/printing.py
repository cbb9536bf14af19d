"""What commands print: rows for people and for programs, and progress to the screen.

What Dagster would print by itself is kept off it: its log is in its history.
"""

import csv
import json
import math
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from datetime import date
from decimal import Decimal
from typing import Any, TextIO

import click

from storepipe_dagster.errors import UserError

ROWS_AT_A_TIME = 10_000
WIDE = 1_000
FORMATS = ("table", "csv", "json")
NOTES_OF_DAGSTER = (
    "Exception while storing event batch: ",
    "Falling back to storing multiple single-event storage requests",
    "Exception while writing logger call to event log: ",
)
QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}  # as config of a run


class DuplicateColumnsError(UserError):
    """Columns have one name, and the format has room for one."""


format_option = click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="How to print the rows.",
)


def print_query(connection: Any, query: str, form: str, width: int | None = None) -> None:
    """Print what a DuckDB query gives; a table is as wide as the screen unless told otherwise."""
    if form == "table":
        relation = connection.sql(query)
        if relation is not None:
            relation.show(max_rows=ROWS_AT_A_TIME, max_width=width)
        return
    result = connection.execute(query)
    names = [column[0] for column in result.description or ()]
    if form == "csv":
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        while rows := result.fetchmany(ROWS_AT_A_TIME):
            writer.writerows(rows)
        return
    if twice := [name for name, times in Counter(names).items() if times > 1]:
        raise DuplicateColumnsError(
            f"The columns {', '.join(twice)} are there more than once, which JSON cannot show: "
            "name them with AS."
        )
    separator = "["
    while rows := result.fetchmany(ROWS_AT_A_TIME):
        for row in rows:
            click.echo(separator + as_json(dict(zip(names, row, strict=True))))
            separator = ","
    click.echo("[]" if separator == "[" else "]")


def print_table(table: Any, form: str) -> None:
    """Print an Arrow table, with all of its columns."""
    with _connected() as connection:
        connection.register("rows", table)
        print_query(connection, "FROM rows", form, WIDE)


def print_rows(columns: Mapping[str, str], rows: Sequence[Sequence[Any]], form: str) -> None:
    """Print rows, with all of their columns; ``columns`` has the type in SQL of each.

    Arrow, and parameters of a statement, would bring pandas along, which takes as long to import
    as most commands take.
    """
    declared = ", ".join(f'"{name}" {data_type}' for name, data_type in columns.items())
    with _connected() as connection:
        connection.execute(f"CREATE TABLE rows ({declared})")
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            values = ", ".join(map(_values, rows[start : start + ROWS_AT_A_TIME]))
            connection.execute(f"INSERT INTO rows VALUES {values}")
        print_query(connection, "FROM rows", form, WIDE)


def _values(row: Sequence[Any]) -> str:
    """A row as SQL: text, which DuckDB makes what the column is."""
    quoted = (
        "NULL" if value is None else "'" + str(value).replace("'", "''") + "'" for value in row
    )
    return f"({', '.join(quoted)})"


@contextmanager
def _connected() -> Iterator[Any]:
    import duckdb  # noqa: PLC0415  # slow

    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def as_json(value: Any) -> str:
    """A value of DuckDB's as JSON: decimals are exact numbers, times are ISO 8601.

    JSON has no NaN and no Infinity: they are null.
    """
    if isinstance(value, dict):
        members = (f"{_text(key)}: {as_json(member)}" for key, member in value.items())
        return f"{{{', '.join(members)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_json, value))}]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    if value is None or isinstance(value, bool | int | float):
        return json.dumps(value)
    return _text(value.isoformat() if isinstance(value, date) else value)


def _text(value: Any) -> str:
    return json.dumps(str(value), ensure_ascii=False)


@contextmanager
def on_screen() -> Iterator[Callable[[str], None]]:
    """A way for progress to the screen.

    While a step runs, Dagster's compute logs take what is written to standard error, and its copy
    of that to the screen may end before the last lines.
    """
    with (
        os.fdopen(os.dup(sys.stderr.fileno()), "w", errors="backslashreplace") as screen,
        redirect_stderr(_WithoutNotes(sys.stderr)),
    ):
        yield lambda line: click.echo(line, file=screen)


class _WithoutNotes:
    """Standard error without what Dagster notes on a history that it fails to write.

    It raises the same error, or records it, once it has tried another way.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        return len(text) if text.startswith(NOTES_OF_DAGSTER) else self._stream.write(text)
