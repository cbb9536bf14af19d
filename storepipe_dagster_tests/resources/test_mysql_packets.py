"""Tests of `storepipe_dagster.resources.mysql_packets`: literal bytes in, literal rows out."""

from datetime import date, datetime, timezone
from decimal import Decimal

import pyarrow as pa
import pytest

from storepipe_dagster.resources.mysql_packets import MalformedRowsError, Packets

NULL = b"\xfb"
END = b"\xfe\0\0\2\0"
PAIRS = pa.schema([("id", pa.int64()), ("text", pa.string())])


def value(text):
    content = text.encode()
    size = len(content)
    if size <= 250:
        return bytes([size]) + content
    width = 2 if size < 2**16 else 3
    return bytes([0xFA + width]) + size.to_bytes(width, "little") + content


def packet(content, number=1):
    return len(content).to_bytes(3, "little") + bytes([number]) + content


def row(*texts):
    return packet(b"".join(NULL if text is None else value(text) for text in texts))


def found(data, most=1000):
    packets = Packets(bytearray(data))
    packets.find(most)
    return packets


def test_a_row_is_cut_into_its_values():
    schema = pa.schema(
        [
            ("day", pa.date32()),
            ("time", pa.timestamp("us", "UTC")),
            ("id", pa.int64()),
            ("price", pa.decimal128(12, 2)),
            ("rating", pa.float64()),
            ("text", pa.string()),
        ]
    )
    sent = row("2020-03-02", "2020-03-02 10:00:00.000001", "-7", "9.90", "3.9e-5", "é🙂")
    assert found(sent).rows(schema).to_pylist() == [
        {
            "day": date(2020, 3, 2),
            "time": datetime(2020, 3, 2, 10, 0, 0, 1, timezone.utc),
            "id": -7,
            "price": Decimal("9.90"),
            "rating": 3.9e-5,
            "text": "é🙂",
        }
    ]


def test_nothing_and_an_empty_text_differ():
    sent = row("1", None) + row(None, "") + row("3", "x") + row(None, None)
    assert [tuple(r.values()) for r in found(sent).rows(PAIRS).to_pylist()] == [
        (1, None),
        (None, ""),
        (3, "x"),
        (None, None),
    ]


@pytest.mark.parametrize(
    "size", [*range(245, 260), 2**16 - 1, 2**16, 2**16 + 1, 253 * 257, 2**17, 2**23]
)
def test_a_text_of_any_size_is_read(size):
    sent = row("1", "a") + row("2", "x" * size) + row("3", "b" * 253)
    assert found(sent).rows(PAIRS).column("text").to_pylist() == ["a", "x" * size, "b" * 253]


def test_what_looks_like_the_start_of_a_packet_within_a_text_is_none():
    texts = ["", "\1\0\0\0", "a" + "\0" * 9, packet(b"b").decode(), "\0\0", "z" * 300, "\5\0\0"]
    sent = b"".join(row(str(n), text) for n, text in enumerate(texts))
    packets = found(sent)
    assert packets.end == len(sent)
    assert packets.rows(PAIRS).column("text").to_pylist() == texts


@pytest.mark.parametrize("most", [1, 2, 3, 7, 8, 9])
def test_no_more_packets_are_found_than_asked_for(most):
    rows = [row(str(n), "x" * n * 60) for n in range(8)]
    packets = found(b"".join(rows), most)
    assert packets.rows(PAIRS).column("id").to_pylist() == list(range(min(most, 8)))
    assert packets.rest().data == b"".join(rows[most:])


def test_a_packet_is_found_once_all_of_it_is_there():
    sent = row("1", "x") + row("2", "") + row("3", "y" * 300) + row("4", "\0\0")
    for cut in range(len(sent) + 1):
        packets = found(sent[:cut])
        before = packets.starts[:]
        packets.data += sent[cut:]
        packets.find(1000)
        assert packets.starts[: len(before)] == before
        assert packets.rows(PAIRS).column("id").to_pylist() == [1, 2, 3, 4]
        assert packets.end == len(sent)


@pytest.mark.parametrize("last", [END, b"\xff\x25\x05#70100Query execution was interrupted"])
def test_the_last_packet_is_no_row(last):
    packets = found(row("1", "x") + packet(last))
    assert packets.pop_last() == last
    assert packets.rows(PAIRS).to_pylist() == [{"id": 1, "text": "x"}]


def test_a_row_is_no_last_packet():
    for sent in (b"", row("1", "x"), row("1", "x") + packet(END)[:-1], packet(b"\xfe" * 9)):
        assert found(sent).pop_last() is None


@pytest.mark.parametrize(
    "sent",
    [
        row("1"),
        row("1", "x", "y"),
        row("1", "x") + row("2"),
        packet(b"\x011\x05abc"),
        row("1", "x") + packet(b"\x011\x05abc") + row("3", "def"),
        packet(b"\x011\xfd\xff\xff\xff") * 3,
        packet(b"\x011\xfe" + (2**60).to_bytes(8, "little")),
        packet(b""),
    ],
    ids=[
        "a column less",
        "a column more",
        "one row with less",
        "a value beyond all",
        "a value beyond its row",
        "values far beyond",
        "a value beyond reason",
        "nothing",
    ],
)
def test_what_is_no_row_of_the_columns_is_refused(sent):
    with pytest.raises(MalformedRowsError):
        found(sent).rows(PAIRS)


@pytest.mark.parametrize(
    ("texts", "data_type"),
    [
        ("many", pa.int64()),
        (str(2**63), pa.int64()),
        ("", pa.int64()),
        ("0000-00-00", pa.date32()),
        ("1.234", pa.decimal128(12, 2)),
    ],
)
def test_what_is_no_value_of_its_type_is_refused(texts, data_type):
    with pytest.raises(pa.ArrowInvalid):
        found(row(texts)).rows(pa.schema([("it", data_type)]))


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(pa.ArrowInvalid):
        found(packet(b"\x011\x02\xc3\x28")).rows(PAIRS)
