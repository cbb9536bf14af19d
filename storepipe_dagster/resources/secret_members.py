"""Leaving out of JSON what is a secret by its name: passwords, tokens, however deep.

Works on the text, so that everything else stays as its writer wrote it.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence

SECRETS = (
    *("password", "passwd", "passphrase", "passcode", "pwd", "secret", "token", "credential"),
    *("apikey", "privatekey", "accesskey", "authorization", "jwt", "otp", "cvv"),
)
SEPARATORS = "_-. "
_SEPARATORS = re.compile(rf"[{re.escape(SEPARATORS)}\d]+")
_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_PARTS = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s"{}\[\],:]+', re.DOTALL)
_OPENING, _CLOSING, _BEFORE_NAMES = frozenset("{["), frozenset("}]"), frozenset("{,")


def is_secret(name: str) -> bool:
    """Whether a member's name is that of a secret, such as ``user_password`` or ``accessToken``."""
    folded = _folded(name).removesuffix("s")
    words = {word.casefold().removesuffix("s") for word in _WORDS.findall(name)}
    return "passw" in folded or folded.endswith(SECRETS) or not words.isdisjoint(SECRETS)


def _folded(name: str) -> str:
    """A name in small letters, without what separates its words or numbers it."""
    return _SEPARATORS.sub("", name.casefold())


def without_secrets(text: str) -> str:
    """A JSON value's text without the members that are secrets; unchanged if it has none."""
    folded = text.casefold()
    for separator in SEPARATORS:
        folded = folded.replace(separator, "")
    if not any(secret in folded for secret in SECRETS) and "\\u" not in text:  # may spell one
        return text
    parts = _PARTS.findall(text)
    public = [*_public(parts)]
    return text if len(public) == len(parts) else "".join(_without_loose_commas(public))


def _public(parts: Iterable[str]) -> Iterator[str]:
    """The parts of a valid JSON text that are not of a secret member; all commas stay."""
    containers: list[str] = []
    hidden_in: int | None = None  # the depth of the container whose member is left out
    before = ""
    for part in parts:
        if part in _CLOSING:
            containers.pop()
        depth = len(containers)
        if hidden_in is None or depth < hidden_in or (depth == hidden_in and part == ","):
            hidden_in = None
            may_be_name = containers[-1:] == ["{"] and before in _BEFORE_NAMES and part[0] == '"'
            if may_be_name and is_secret(json.loads(part)):
                hidden_in = depth
            else:
                yield part
        if part in _OPENING:
            containers.append(part)
        before = part


def _without_loose_commas(parts: Iterable[str]) -> Sequence[str]:
    kept: list[str] = []
    for part in parts:
        if part in _CLOSING and kept[-1] == ",":
            kept.pop()
        if part != "," or (kept[-1] != "," and kept[-1] not in _OPENING):
            kept.append(part)
    return kept
