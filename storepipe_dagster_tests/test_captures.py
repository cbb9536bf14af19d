"""Tests of `storepipe_dagster.captures`."""

import json
import tracemalloc

import pytest

from storepipe_dagster.captures import Capture, Spool


@pytest.mark.parametrize("memory_limit", [0, 1, 5, 7, 10**6])
def test_texts_come_in_the_order_in_which_they_were_appended(memory_limit):
    spool = Spool(memory_limit)
    for number in range(12):
        spool.append("odd" if number % 2 else "even", f"text {number}")

    assert list(spool.texts("even")) == [f"text {number}" for number in range(0, 12, 2)]
    assert list(spool.texts("odd")) == [f"text {number}" for number in range(1, 12, 2)]
    assert spool.counts == {"even": 6, "odd": 6}


@pytest.mark.parametrize("memory_limit", [0, 4, 10**6])
def test_texts_beyond_ascii_and_empty_ones_come_back_as_they_were(memory_limit):
    texts = ["é", "", "日本", "🙂 ends", "a\u2028b\x85c", "", "x"]
    spool = Spool(memory_limit)
    for text in texts:
        spool.append(None, text)

    assert list(spool.texts(None)) == texts


def test_texts_can_be_read_again_and_two_keys_at_a_time():
    spool = Spool(memory_limit=3)
    for text in ("1", "22", "333", "4"):
        spool.append("a", text)
        spool.append("b", text * 2)

    assert list(zip(spool.texts("a"), spool.texts("b"), strict=True)) == [
        ("1", "11"),
        ("22", "2222"),
        ("333", "333333"),
        ("4", "44"),
    ]
    assert list(spool.texts("a")) == ["1", "22", "333", "4"]


def test_a_key_without_texts_has_none():
    spool = Spool(memory_limit=1)
    spool.append("a", "text")

    assert list(spool.texts("b")) == []
    assert spool.counts["b"] == 0


def test_memory_does_not_grow_with_the_texts():
    text = "x" * 1000
    tracemalloc.start()
    spool = Spool(memory_limit=100_000)
    for number in range(20_000):
        spool.append(number % 3, text)
    total = sum(len(read) for key in range(3) for read in spool.texts(key))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total == 20_000_000
    assert peak < 2_000_000


def test_a_capture_keeps_records_as_they_came_by_partition():
    capture = Capture()
    capture.accept("2020-01-02", '{"id": 2.50}')
    capture.accept("2020-01-01", '{"id":1}')

    assert list(capture.accepted.texts("2020-01-02")) == ['{"id": 2.50}']
    assert list(capture.accepted.texts("2020-01-01")) == ['{"id":1}']


def test_a_rejected_record_is_json_with_its_reason():
    capture = Capture()
    capture.reject(None, '{"id": "é\\n"}', 'it says "é"\\')

    (text,) = capture.rejected.texts(None)
    assert json.loads(text) == {"reason": 'it says "é"\\', "record": {"id": "é\n"}}
    assert "\n" not in text


def test_reasons_are_counted():
    capture = Capture()
    for reason in ("no id", "no date", "no id"):
        capture.reject("2020-01-01", "{}", reason)

    assert capture.reasons == {"no id": 2, "no date": 1}


def test_the_rejected_share_is_of_all_records():
    capture = Capture()
    assert capture.rejected_share == 0
    for day in ("2020-01-01", "2020-01-02", "2020-01-03"):
        capture.accept(day, "{}")
    capture.reject("2020-01-01", "{}", "bad")
    assert capture.rejected_share == 0.25


def test_a_capture_knows_when_it_was_taken_in_utc():
    assert Capture().captured_at.utcoffset().total_seconds() == 0


# --- fields that vanish ---------------------------------------------------------------------------


def vanished(name, *records):
    capture = Capture()
    for record in records:
        capture.look_for([name], record)
    return capture.vanished_fields


def test_a_field_that_ten_records_in_a_row_lack_has_vanished():
    assert vanished("price", *['{"id": 1}'] * 10) == ["price"]
    assert vanished("price", *['{"price": null}'] * 10) == ["price"]


def test_fewer_records_prove_nothing():
    assert vanished("price", *['{"id": 1}'] * 9) == []


def test_a_field_that_one_record_has_is_there():
    assert vanished("price", *['{"id": 1}'] * 20, '{"price": 0}') == []


def test_fields_are_found_in_lists_and_objects():
    lines = '{"products": [{"quantity": 1}, {"productId": 7}]}'
    assert vanished("products.productId", *['{"products": [{}]}'] * 10) == ["products.productId"]
    assert vanished("products.productId", *['{"products": [{}]}'] * 10, lines) == []
    assert vanished("address.city", *['{"address": "Rome"}'] * 10) == ["address.city"]


def test_a_list_without_elements_tells_nothing_of_their_fields():
    assert vanished("products.productId", *['{"products": []}'] * 99) == []
