"""Splitting a JSON array into its elements while it arrives, without holding it whole.

Knows nothing of HTTP or of what the elements are.
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import NoReturn

LONGEST_ELEMENT = 16 * 2**20
MOST_NAMES, LONGEST_NAME = 10, 64  # of an object's members that a message shows
_SPACE = re.compile(r"[ \t\n\r]*")
# Up to the end of the text, what may turn out to belong to the number before it.
_NUMBER_MAY_GO_ON = re.compile(r"(\.|[eE][-+]?)?")


class NotAnArrayError(ValueError):
    """The text is not one JSON array; the message says where it stops being one."""


class WrappedArrayError(NotAnArrayError):
    """The text is an object that has arrays as members; the message names its members."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


# Only where a value ends matters here: a number of a thousand digits is as good as any.
_decode = json.JSONDecoder(parse_constant=_no_constant, parse_int=str, parse_float=str).raw_decode


def split_array(chunks: Iterable[str], longest: int = LONGEST_ELEMENT) -> Iterator[str]:
    """Give the JSON text of each element of the array that the chunks make up, each on one line.

    Memory is bounded by twice the longest element plus one chunk. Raises ``NotAnArrayError``, also
    for an element of more than ``longest`` characters.
    """
    text = _Text(iter(chunks), longest)
    match text.next_character():
        case "[":
            yield from _elements(text)
        case "{":
            raise _what_is_wrapped(text)
        case _:
            raise NotAnArrayError("it is not an array")
    if text.next_character():
        raise NotAnArrayError(f"something follows the array, at character {text.characters_read}")


def _elements(text: "_Text") -> Iterator[str]:
    """Give the elements of the array at the position, and move past it."""
    text.position += 1
    separator = "," if text.next_character() != "]" else "]"
    while separator == ",":
        text.next_character()
        yield text.element()
        separator = text.next_character()
        if separator not in (",", "]"):
            raise NotAnArrayError(f"expected ',' or ']' at character {text.characters_read}")
        text.position += separator == ","
    text.position += 1


def _what_is_wrapped(text: "_Text") -> NotAnArrayError:
    """Read the object at the position for the names of its members; its arrays are skipped."""
    names: list[str] = []
    wraps = False
    try:
        separator = ","
        while separator == "," and len(names) < MOST_NAMES:
            text.position += 1
            text.next_character()
            name = json.loads(text.element())
            if not isinstance(name, str) or text.next_character() != ":":
                break
            names.append(name[:LONGEST_NAME])
            text.position += 1
            if text.next_character() == "[":
                wraps = True
                for _ in _elements(text):
                    pass
            else:
                text.element()
            separator = text.next_character()
    except NotAnArrayError:  # what follows cannot be read: the names so far have to do
        pass
    if not names:
        return NotAnArrayError("it is not an array")
    kind = WrappedArrayError if wraps else NotAnArrayError
    return kind(f"it is not an array but an object with {', '.join(names)}")


class _Text:
    """A text that arrives in chunks; what is before ``position`` may be dropped."""

    def __init__(self, chunks: Iterator[str], longest: int) -> None:
        self.position = 0
        self._longest = longest
        self._chunks = chunks
        self._text = ""
        self._dropped = 0

    @property
    def characters_read(self) -> int:
        """How many characters stand before the position, in the whole text."""
        return self._dropped + self.position

    def next_character(self) -> str:
        """Move to the next character that is not white space and give it; empty at the end."""
        while True:
            self.position = _SPACE.match(self._text, self.position).end()  # type: ignore[union-attr]
            if self.position < len(self._text):
                return self._text[self.position]
            if not self._more():
                return ""

    def element(self) -> str:
        """Move past the value at the position and give its text on one line.

        A number may go on in the next chunk, so a value counts once what follows cannot be of it.
        It is read again when there is twice as much of it, and so not once per chunk.
        """
        while True:
            try:
                _, end = _decode(self._text, self.position)
            except (ValueError, RecursionError) as error:
                problem = getattr(error, "msg", None) or str(error)
            else:
                if not _NUMBER_MAY_GO_ON.fullmatch(self._text, end):
                    element = self._text[self.position : end]
                    self.position = end
                    return element.replace("\r", " ").replace("\n", " ")
                problem = "the array does not end"
            if not self._more(2 * (len(self._text) - self.position)):
                raise NotAnArrayError(f"{problem}, at character {self.characters_read}")

    def _more(self, characters: int = 0) -> bool:
        """Drop what is done and append the next chunks, at least one, until there is so much.

        Tells whether there was one.
        """
        parts = [self._text[self.position :]]
        size = len(parts[0])
        while len(parts) == 1 or size < characters:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            if size > self._longest:
                raise NotAnArrayError(
                    f"the element at character {self.characters_read} has more than "
                    f"{self._longest:,} characters"
                )
            parts.append(chunk)
            size += len(chunk)
        self._dropped += self.position
        self._text, self.position = "".join(parts), 0
        return len(parts) > 1
