"""Splitting a JSON array into its elements while it arrives, without holding it whole.

Knows nothing of HTTP or of what the elements are.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

LONGEST_ELEMENT = 64 * 2**20
_SPACE = re.compile(r"[ \t\n\r]*")


class NotAnArrayError(ValueError):
    """The text is not one JSON array; the message says where it stops being one."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decode = json.JSONDecoder(parse_constant=_no_constant).raw_decode


def split_array(chunks: Iterable[str]) -> Iterator[str]:
    """The JSON text of each element of the array that the chunks make up, each on one line.

    Memory is bounded by the longest element plus one chunk. Raises ``NotAnArrayError``.
    """
    source = iter(chunks)
    text, position, read = "", 0, 0

    def more() -> bool:
        """Drop what is done, append the next chunk; whether there was one."""
        nonlocal text, position, read
        chunk = next(source, None)
        if chunk is None:
            return False
        read += position
        text, position = text[position:] + chunk, 0
        if len(text) > LONGEST_ELEMENT + len(chunk):
            raise NotAnArrayError(f"the element at character {read} is longer than 64 Mi")
        return True

    def next_character() -> str:
        """The next character that is not white space, not consumed; empty at the end."""
        nonlocal position
        while True:
            position = _SPACE.match(text, position).end()  # type: ignore[union-attr]
            if position < len(text):
                return text[position]
            if not more():
                return ""

    def element() -> str:
        """The next element; a number may go on in the next chunk, so one character must follow."""
        nonlocal position
        while True:
            try:
                _, end = _decode(text, position)
                if end < len(text):
                    found = text[position:end]
                    position = end
                    return found.replace("\r", " ").replace("\n", " ")
            except (ValueError, RecursionError) as error:
                problem = getattr(error, "msg", None) or str(error)
            else:
                problem = "the array does not end"
            if not more():
                raise NotAnArrayError(f"{problem}, at character {read + position}")

    if next_character() != "[":
        raise NotAnArrayError("it is not an array")
    position += 1
    if next_character() == "]":
        position += 1
    else:
        while True:
            next_character()
            yield element()
            separator = next_character()
            if separator not in (",", "]"):
                raise NotAnArrayError(f"expected ',' or ']' at character {read + position}")
            position += 1
            if separator == "]":
                break
    if next_character():
        raise NotAnArrayError(f"something follows the array, at character {read + position}")
