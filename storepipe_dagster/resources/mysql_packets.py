"""Rows as MySQL sends them, cut into Arrow columns by NumPy; who receives them is ``mysql_bulk``.

A row is a packet of the text protocol: three bytes of its size and one of its number, then each
value as text behind the size of that. No value costs Python anything, a long row one look.
https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_com_query_response.html
"""

from dataclasses import dataclass, field
from struct import Struct

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HEADER = 4
SIZE_AT = Struct("<I").unpack_from
SIZE = 0xFFFFFF  # the bits of a header that are the size; a packet of this size goes on in another
# The first byte of a value's size, which is the size itself below.
NULL, TWO_BYTES, THREE_BYTES = 0xFB, 0xFC, 0xFD
# How a last packet begins.
END, ERROR = b"\xfe", b"\xff"
LARGEST_END = 8  # a row that begins with the same byte is longer

Numbers = npt.NDArray[np.int64]


class MalformedRowsError(ValueError):
    """The packets hold no rows, or rows of another number of columns."""


@dataclass
class Packets:
    """What has come in so far, and where the packets start that are there as a whole."""

    data: bytearray = field(default_factory=bytearray)
    starts: list[int] = field(default_factory=list)
    end: int = 0

    def find(self, most: int) -> None:
        """Find packets until there are so many."""
        if self._end_of(self.end):
            self._find_short_ones(most)
        while len(self.starts) < most and (end := self._end_of(self.end)):
            self.starts.append(self.end)
            self.end = end

    def _end_of(self, start: int) -> int | None:
        """Where a packet ends, if all of it is there."""
        if start + HEADER > len(self.data):
            return None
        end: int = start + HEADER + (SIZE_AT(self.data, start)[0] & SIZE)
        return end if end <= len(self.data) else None

    def _find_short_ones(self, most: int) -> None:
        """Find packets of less than 256 bytes, many at a time, up to the first longer one.

        Two zero bytes follow their size. What looks like this is a start if the packet before ends
        there, so nothing is taken for one that is not.
        """
        data = np.frombuffer(self.data, np.uint8)[self.end :]
        starts = np.flatnonzero((data[:-2] != 0) & (data[1:-1] == 0) & (data[2:] == 0))
        ends = starts + HEADER + data[starts]
        are_packets = (starts == np.append([0], ends[:-1])) & (ends <= len(data))
        count = len(starts) if are_packets.all() else int(are_packets.argmin())
        found = [self.end, *(self.end + ends[: min(count, most - len(self.starts))]).tolist()]
        self.end = found.pop()
        self.starts += found

    def rest(self) -> "Packets":
        """What has come in behind the packets that were found."""
        return Packets(self.data[self.end :])

    def pop_last(self) -> bytes | None:
        """Take the content of the packet that ends the rows, if it is there: an end or an error."""
        if not self.starts:
            return None
        content = bytes(self.data[self.starts[-1] + HEADER : self.end])
        is_end = content.startswith(END) and len(content) <= LARGEST_END
        if not (is_end or content.startswith(ERROR)):
            return None
        self.end = self.starts.pop()
        return content

    def rows(self, schema: pa.Schema) -> pa.RecordBatch:
        """The packets as rows; raises ``ArrowInvalid`` for a value that is not of its type.

        Raises ``MalformedRowsError`` where the columns do not fill the packets.
        """
        data = np.frombuffer(self.data, np.uint8, self.end)
        places = np.array([*self.starts, self.end], np.int64)
        at, ends = places[:-1] + HEADER, places[1:]
        columns = []
        try:
            for column in schema:
                texts, at = _texts(data, at, ends)
                columns.append(_typed(texts, column.type))
        except IndexError:
            raise MalformedRowsError from None
        if (at != ends).any():
            raise MalformedRowsError
        return pa.RecordBatch.from_arrays(columns, schema=schema)


def _texts(data: npt.NDArray[np.uint8], at: Numbers, row_ends: Numbers) -> tuple[pa.Array, Numbers]:
    """One value of each row, of which the sizes stand at these places; and the places behind."""
    first = data[at]
    sizes = first.astype(np.int64)
    at = at + 1
    valid = first != NULL
    for told_in, width in ((TWO_BYTES, 2), (THREE_BYTES, 3)):
        long = np.flatnonzero(first == told_in)
        if long.size:
            sizes[long] = sum(data[at[long] + n].astype(np.int64) << 8 * n for n in range(width))
            at[long] += width
    sizes[~valid] = 0
    if (at + sizes > row_ends).any():
        raise MalformedRowsError
    ends = sizes.cumsum()
    places = np.repeat(at - ends + sizes, sizes)
    places += np.arange(len(places))
    texts = pa.StringArray.from_buffers(
        len(sizes),
        pa.py_buffer(np.concatenate(([0], ends)).astype(np.int32)),
        pa.py_buffer(data.take(places)),
        None if valid.all() else pa.array(valid).buffers()[1],
    )
    return texts, at + sizes


def _typed(texts: pa.Array, data_type: pa.DataType) -> pa.Array:
    if pa.types.is_string(data_type):
        texts.validate(full=True)
        return texts
    if pa.types.is_timestamp(data_type):  # the database's times have no zone, and are UTC
        return texts.cast(pa.timestamp(data_type.unit)).cast(data_type)
    return texts.cast(data_type)
