"""Tests of `storepipe_dagster.resources.json_arrays`."""

import json
import tracemalloc

import pytest

from storepipe_dagster.resources import json_arrays
from storepipe_dagster.resources.json_arrays import (
    NotAnArrayError,
    WrappedArrayError,
    split_array,
)

DOCUMENT = (
    ' \t\r\n[ {"a": [1, {"b": "],[}{\\" \\\\"}], "c": null} ,\n'
    '"\\ud83d\\ude42 é 🙂 \\n", true,false , null,-0.5e-3,12 ,1.25,2E+10,[],{},[[]]\t]\n '
)


def elements(*chunks):
    return list(split_array(chunks))


def test_a_document_cut_in_two_anywhere_gives_the_same_elements():
    whole = elements(DOCUMENT)
    assert [json.loads(text) for text in whole] == json.loads(DOCUMENT)
    for cut in range(len(DOCUMENT) + 1):
        assert elements(DOCUMENT[:cut], DOCUMENT[cut:]) == whole, DOCUMENT[:cut]


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_a_document_in_small_chunks_gives_the_same_elements(size):
    chunks = [DOCUMENT[start : start + size] for start in range(0, len(DOCUMENT), size)]
    assert elements(*chunks, "", "") == elements(DOCUMENT)


@pytest.mark.parametrize("number", ["0", "-7", "10.25", "1e5", "1.5E-07", "-0.0e+3"])
def test_a_number_cut_anywhere_is_one_element(number):
    for cut in range(len(number) + 1):
        assert elements("[" + number[:cut], number[cut:] + "]") == [number]


def test_an_element_keeps_the_text_of_the_api():
    assert elements('[{"price":  10.50, "name": "caf\\u00e9"}]') == [
        '{"price":  10.50, "name": "caf\\u00e9"}'
    ]


def test_line_breaks_inside_an_element_become_spaces():
    assert elements('[{\r\n  "a": 1,\n "b": [\r2]}]') == ['{    "a": 1,  "b": [ 2]}']


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]", "\n\n[\t]"])
def test_an_empty_array_has_no_elements(text):
    assert elements(*text) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "it is not an array"),
        ("   ", "it is not an array"),
        ("null", "it is not an array"),
        ('{"error": "no"}', "it is not an array"),
        ('"text"', "it is not an array"),
        ("<html></html>", "it is not an array"),
        ("\ufeff[1]", "it is not an array"),
        ("[", "at character 1"),
        ("[1", "the array does not end, at character 1"),
        ("[1.", "the array does not end, at character 1"),
        ("[1,", "at character 3"),
        ("[1,]", "at character 3"),
        ("[,1]", "at character 1"),
        ("[1 2]", "expected ',' or ']' at character 3"),
        ("[01]", "expected ',' or ']' at character 2"),
        ("[1.]", "expected ',' or ']' at character 2"),
        ("[1}", "expected ',' or ']' at character 2"),
        ('[{"a": 1}, {"a": ', "at character 11"),
        ('[{"a": 1}, {"a": "x', "at character 11"),
        ("[{'a': 1}]", "at character 1"),
        ('["a\nb"]', "at character 1"),
        ("[NaN]", "NaN is not JSON, at character 1"),
        ('[{"price": -Infinity}]', "-Infinity is not JSON, at character 1"),
        ("[1]]", "something follows the array, at character 3"),
        ("[1][2]", "something follows the array, at character 3"),
        ("[] null", "something follows the array, at character 3"),
    ],
)
def test_what_is_not_one_array_is_an_error_that_says_where(text, message):
    for chunks in ([text], list(text)):
        with pytest.raises(NotAnArrayError) as caught:
            elements(*chunks)
        assert message in str(caught.value)


def test_the_place_of_an_error_counts_from_the_start_of_the_text():
    with pytest.raises(NotAnArrayError, match=r"at character 3001$"):
        elements("[" + "12," * 1000, "x]")


def test_nesting_too_deep_to_read_is_an_error():
    depth = 100_000
    with pytest.raises(NotAnArrayError, match="recursion"):
        elements("[" * depth + "]" * depth)


def test_an_element_that_never_ends_is_refused_before_it_fills_the_memory():
    given = 0

    def endless():
        nonlocal given
        yield '[1, "'
        while True:
            given += 1
            yield "x" * 10

    with pytest.raises(NotAnArrayError, match="character 4 has more than 100 characters"):
        list(split_array(endless(), 100))
    assert given == 11


def test_a_long_element_in_small_chunks_is_not_read_again_for_each_of_them(monkeypatch):
    read, decode = 0, json_arrays._decode

    def counted(text, position):
        nonlocal read
        read += len(text) - position
        return decode(text, position)

    monkeypatch.setattr(json_arrays, "_decode", counted)
    size = 2_000_000
    chunks = ['["', *["x" * 100] * (size // 100), '"]']
    (element,) = split_array(chunks)
    assert len(element) == size + 2
    assert read < 5 * size


def test_an_error_tells_nothing_of_the_content():
    with pytest.raises(NotAnArrayError) as caught:
        elements('[{"password": "hunter2"')
    assert "hunter2" not in str(caught.value)


def test_memory_stays_flat_over_fifty_megabytes():
    element = json.dumps({"id": 1, "text": "x" * 970}) + ","
    chunk = element * 64
    chunks = 50 * 2**20 // len(chunk)

    def stream():
        yield "["
        for _ in range(chunks):
            yield chunk
        yield "0]"

    tracemalloc.start()
    count = sum(1 for _ in split_array(stream()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == chunks * 64 + 1
    assert peak < 10 * len(chunk)


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ('{"products": [{"id": 1}], "total": 100}', "products, total"),
        ('{"total": 1, "links": {"self": ["x"]}, "data": []}', "total, links, data"),
        ('{"data": [1, 2, {"a": "]}"}], "more": tru', "data, more"),
        ('{"data": [1, {"a": ', "data"),
        (json.dumps({"of": [], **dict.fromkeys("abcdefghijkl")}), "of, a, b, c, d, e, f, g, h, i"),
        (json.dumps({"x" * 100: []}), "x" * 64),
    ],
)  # fmt: skip
def test_an_object_that_wraps_an_array_is_an_error_that_names_its_members(text, members):
    for size in (1, 7, 1000):
        chunks = [text[start : start + size] for start in range(0, len(text), size)]
        with pytest.raises(WrappedArrayError) as caught:
            elements(*chunks)
        assert str(caught.value) == f"it is not an array but an object with {members}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "it is not an array"),
        ("{1: []}", "it is not an array"),
        ('{"message": "later"}', "it is not an array but an object with message"),
        ('{"error": {"codes": [1]}}', "it is not an array but an object with error"),
    ],
)
def test_an_object_without_an_array_is_just_not_an_array(text, message):
    with pytest.raises(NotAnArrayError) as caught:
        elements(text)
    assert type(caught.value) is NotAnArrayError
    assert str(caught.value) == message


def test_an_array_in_an_object_is_read_past_in_little_memory():
    def chunks():
        yield '{"products": ['
        for _ in range(3000):
            yield f'"{"x" * 10_000}", '
        yield '1], "total": 3001}'

    tracemalloc.start()
    with pytest.raises(WrappedArrayError, match="products, total"):
        list(split_array(chunks()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20
