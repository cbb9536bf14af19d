"""Tests of `storepipe_dagster.ahead`."""

import threading

import pytest

from storepipe_dagster.ahead import made_ahead

SECONDS = 30


def test_all_come_in_their_order_and_falsy_ones_too():
    assert list(made_ahead(iter([3, 0, None, "", 1]))) == [3, 0, None, "", 1]
    assert list(made_ahead(iter(()))) == []


def test_the_next_one_is_made_while_one_is_used():
    second_is_made = threading.Event()

    def items():
        yield 1
        second_is_made.set()
        yield 2

    given = made_ahead(items())
    assert next(given) == 1
    assert second_is_made.wait(SECONDS)
    assert list(given) == [2]


def test_only_one_is_made_ahead():
    made = []
    given = made_ahead(made.append(number) or number for number in range(5))
    next(given)
    next(given)
    given.close()
    assert made == [0, 1, 2]


def test_an_error_comes_in_its_place():
    def items():
        yield 1
        raise ValueError("of the second")

    given = made_ahead(items())
    assert next(given) == 1
    with pytest.raises(ValueError, match="of the second"):
        next(given)


def test_who_stops_waits_for_the_one_that_is_being_made():
    may_end, ended = threading.Event(), []

    def items():
        yield 1
        may_end.wait(SECONDS)
        ended.append(True)
        yield 2

    given = made_ahead(items())
    next(given)
    threading.Timer(0.2, may_end.set).start()
    given.close()
    assert ended == [True]
