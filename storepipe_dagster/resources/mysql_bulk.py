"""Many rows into MySQL and out of it, over one ordinary PyMySQL connection, TLS or not.

In: LOAD DATA LOCAL, fed from memory. Out: the server joins the rows of a chunk into one CSV text
(GROUP_CONCAT), which Arrow parses; a row then costs no Python. Transactions are in ``mysql``.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import sqlalchemy as sa
from pymysql.connections import Connection, MySQLResult  # type: ignore[import-untyped]

from storepipe_dagster.errors import UserError
from storepipe_dagster.resources.database import DatabaseError, Days, Row, of_days

ROWS_PER_TEXT = 500  # more are no faster: Python transposes them an iterator each
LARGEST_PACKET = 2**20
ROWS_PER_CHUNK = 64 * 1024
ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r", "\0": "\\0"}  # in this order
END_OF_LINE = "end_of_line"


class BulkConnection(Connection):  # type: ignore[misc]
    """A connection that answers LOAD DATA LOCAL with the rows it was given.

    PyMySQL would send whatever file the server asks for, at any time. This one sends no file.
    """

    upload: Iterable[bytes] | None = None
    warnings = 0

    def __init__(self, seconds_to_answer: float, **arguments: Any) -> None:
        """Log in within the read time-out of the arguments; a statement may take longer."""
        super().__init__(**arguments)
        self._read_timeout = self._write_timeout = seconds_to_answer

    def _read_query_result(self, unbuffered: bool = False) -> int:
        self._result = None
        result = _Result(self)
        if unbuffered:
            result.init_unbuffered_query()
        else:
            result.read()
        self._result = result
        if result.server_status is not None:
            self.server_status = result.server_status
        self.warnings = result.warning_count
        return int(result.affected_rows)


class _Result(MySQLResult):  # type: ignore[misc]
    def _read_load_local_packet(self, _first_packet: Any) -> None:
        packets = self.connection.upload
        try:
            for packet in packets or ():
                self.connection.write_packet(packet)
        finally:
            # An empty packet ends the data; the server answers what it made of it.
            self.connection.write_packet(b"")
            answer = self.connection._read_packet()  # noqa: SLF001
        self._read_ok_packet(answer)
        if packets is None:
            raise FileAskedForError(
                "The MySQL server asked for a file of this machine, and got none. "
                "Check that MYSQL_HOST is the server that you mean."
            )


def load(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> bool:
    """Insert rows by LOAD DATA LOCAL; tells whether the server took every row as it was.

    LOCAL makes warnings of errors: a row whose key is there is left out, a value that does not
    fit is changed.
    """
    driver = connection.connection.driver_connection
    quote = connection.dialect.identifier_preparer.quote
    columns = ", ".join(quote(column.name) for column in table.columns)
    driver.upload = text_lines(rows)  # type: ignore[union-attr]
    try:
        result = connection.exec_driver_sql(
            f"LOAD DATA LOCAL INFILE 'rows' INTO TABLE {quote(table.name)} "
            f"CHARACTER SET utf8mb4 ({columns})"
        )
    except (ValueError, pa.ArrowTypeError):
        return False  # rows too short, or a column of this and that
    finally:
        driver.upload = None  # type: ignore[union-attr]
    return result.rowcount == len(rows) and driver.warnings == 0  # type: ignore[union-attr]


def text_lines(rows: Sequence[Row]) -> Iterator[bytes]:
    r"""Rows as LOAD DATA reads them: tabs, newlines, backslashes, ``\N``; in parts of packet size.

    Each column is text or whole numbers of 64 bits, with nulls. Raises ``ValueError`` or
    ``ArrowTypeError`` for others, and for rows of differing lengths.
    """
    for start in range(0, len(rows), ROWS_PER_TEXT):
        columns = zip(*rows[start : start + ROWS_PER_TEXT], strict=True)
        lines = pc.binary_join_element_wise(
            *map(_fields, columns), "\t", null_handling="replace", null_replacement="\\N"
        )
        text = ("\n".join(lines.to_pylist()) + "\n").encode()
        for place in range(0, len(text), LARGEST_PACKET):
            yield text[place : place + LARGEST_PACKET]


def _fields(column: Sequence[Any]) -> pa.Array:
    values = pa.array(column)
    if not pa.types.is_string(values.type):
        return values.cast(pa.string())
    for character, escape in ESCAPES.items():
        values = pc.replace_substring(values, character, escape)
    return values


class FileAskedForError(UserError):
    """The server wanted a file of this machine, which no honest server does unasked."""


class CutTextError(Exception):
    """The server cut a text short, at a limit of its own."""


class ChunkedRead:
    """Reads a table in the order of its key, a chunk of rows at a time, within one transaction."""

    def __init__(
        self,
        connection: sa.Connection,
        table: str,
        schema: pa.Schema,
        key: Sequence[str],
        days: Days | None,
    ) -> None:
        self._connection = connection
        self._table = table
        self._schema = schema
        self._key = key
        self._rows_of = of_days(
            sa.select(*(sa.column(name) for name in schema.names)).select_from(sa.table(table)),
            days,
        ).order_by(*(sa.column(name) for name in key))
        self._last: list[Any] | None = None
        self._size = ROWS_PER_CHUNK

    def chunks(self) -> Iterator[pa.RecordBatch]:
        """The rows that are left, in their order."""
        while chunk := self._fitting(self._query()):
            self._size = min(2 * self._size, ROWS_PER_CHUNK)
            self._last = [chunk.column(name)[-1].as_py() for name in self._key]
            yield chunk

    def _query(self) -> sa.Select[Any]:
        if self._last is None:
            return self._rows_of
        return self._rows_of.where(_is_after(self._key, self._last))

    def _fitting(self, query: sa.Select[Any]) -> pa.RecordBatch | None:
        """As many rows as the server's limit on a text lets through."""
        try:
            return self._fetch(query.limit(self._size))
        except CutTextError:
            if self._size == 1:
                raise DatabaseError(
                    f"A row of {self._table} is too big to be read, or holds something else than "
                    f"{', '.join(f'{field.name} {field.type}' for field in self._schema)}. "
                    "Look at that row, or raise max_allowed_packet of the server."
                ) from None
            self._size = self._size // 2
            return self._fitting(query)

    def _fetch(self, query: sa.Select[Any]) -> pa.RecordBatch | None:
        rows = query.subquery("chunk")
        fields = [_csv(rows.columns[field.name], field) for field in self._schema]
        # The empty field at the end of each line shows where a text was cut.
        line = sa.func.concat_ws(",", *fields, "")
        text = sa.func.group_concat(line.op("SEPARATOR")(sa.literal_column("'\\n'")))
        count, csv = self._connection.execute(sa.select(sa.func.count(), text)).one()
        return _parsed(csv, count, self._schema) if count else None


def _is_after(key: Sequence[str], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """Beyond a place in the order of the key, spelled so that the server walks its index from it.

    MySQL reads the whole table for ``(a, b) > (1, 2)``.
    """
    columns: list[sa.ColumnElement[Any]] = [sa.column(name) for name in key]
    return sa.or_(
        *(
            sa.and_(
                *(same == value for same, value in zip(columns[:place], last, strict=False)),
                columns[place] > last[place],
            )
            for place in range(len(key))
        )
    )


def _csv(column: sa.ColumnElement[Any], field: pa.Field) -> sa.ColumnElement[Any]:
    """A column as a field of a CSV line: text in quotes, null as nothing at all."""
    if pa.types.is_string(field.type):
        # Too long a text makes CONCAT null, and the line a field short: that is noticed.
        quoted = sa.func.concat('"', sa.func.replace(column, '"', '""'), '"')
        return sa.case((column.is_(None), ""), else_=quoted)
    return sa.func.ifnull(column, "")


def _parsed(csv: str, count: int, schema: pa.Schema) -> pa.RecordBatch:
    data = csv.encode()
    # The database's times have no zone, and are UTC.
    types = {
        field.name: pa.timestamp(field.type.unit)
        if pa.types.is_timestamp(field.type)
        else field.type
        for field in schema
    }
    try:
        table = pyarrow.csv.read_csv(
            pa.BufferReader(data),
            pyarrow.csv.ReadOptions(
                use_threads=False,
                block_size=len(data) + 1,
                column_names=[*schema.names, END_OF_LINE],
            ),
            pyarrow.csv.ParseOptions(newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types=types | {END_OF_LINE: pa.string()},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        raise CutTextError from None
    if table.num_rows != count:
        raise CutTextError
    return table.select(schema.names).cast(schema).combine_chunks().to_batches()[0]
