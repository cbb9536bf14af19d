"""A capture: the records of one answer of the API, sorted out by day, in little memory.

A range of days comes in one answer and in any order; each day is kept as one file. Which records
are good is decided in ``layers.raw``, how the files look in ``io_managers.capture_files``.
"""

import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import IO

MOST_FIELDS, LONGEST_FIELD = 50, 64
ENOUGH_RECORDS = 10  # without a field, to say that the store has dropped or renamed it
MEMORY_LIMIT = 16 * 2**20


class Spool:
    """Lists of one-line texts by key, in the order in which they came.

    Beyond ``memory_limit`` characters they move to one temporary file without a name, which the
    operating system drops with the process: a crash leaves nothing behind.
    """

    def __init__(self, memory_limit: int = MEMORY_LIMIT) -> None:
        self.counts: Counter[Hashable] = Counter()
        self._memory_limit = memory_limit
        self._in_memory: dict[Hashable, list[str]] = defaultdict(list)
        self._size = 0
        self._file: IO[bytes] | None = None
        self._spans: dict[Hashable, list[tuple[int, int]]] = defaultdict(list)

    def append(self, key: Hashable, text: str) -> None:
        """Add one text to those of a key."""
        self._in_memory[key].append(text)
        self.counts[key] += 1
        self._size += len(text)
        if self._size > self._memory_limit:
            self._spill()

    def texts(self, key: Hashable) -> Iterator[str]:
        """The texts of a key, in order."""
        if self._file is not None:
            for start, length in self._spans[key]:
                self._file.seek(start)
                yield from self._file.read(length).decode().split("\n")
        yield from self._in_memory.get(key, ())

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115  # it lives as long as the spool
        for key, texts in self._in_memory.items():
            start = self._file.seek(0, 2)
            self._spans[key].append((start, self._file.write("\n".join(texts).encode())))
        self._in_memory.clear()
        self._size = 0


@dataclass
class Capture:
    """The records of one answer by partition: a day, or ``None`` where there are no days.

    ``rejected`` holds records that break their contract, each with its reason. ``received`` counts
    all records of the answer, ``undated`` the bad ones that tell no day. ``missing_fields`` are
    those of the contract that no accepted record has. A ``refused`` capture is kept to be looked
    at, and is never the current one.
    """

    captured_at: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    accepted: Spool = field(default_factory=Spool)
    rejected: Spool = field(default_factory=Spool)
    reasons: Counter[str] = field(default_factory=Counter)
    unknown_fields: set[str] = field(default_factory=set)
    missing_fields: set[str] | None = None
    found_fields: set[str] = field(default_factory=set)
    missed_fields: Counter[str] = field(default_factory=Counter)
    received: int = 0
    undated: int = 0
    refused: bool = False

    def accept(self, partition: str | None, record: str) -> None:
        """Keep a record as the API gave it."""
        self.accepted.append(partition, record)

    def reject(self, partition: str | None, record: str, reason: str) -> None:
        """Set a record aside with the reason why."""
        self.reasons[reason] += 1
        self.rejected.append(partition, f'{{"reason": {json.dumps(reason)}, "record": {record}}}')

    def notice(self, unknown_fields: set[str], missing_fields: Callable[[], set[str]]) -> None:
        """Remember in which fields a record and the contract differ.

        Of those that it does not know only so many, and not in full length. Which are missing is
        asked for as long as there are some that no record had.
        """
        if self.missing_fields is None:
            self.missing_fields = missing_fields()
        elif self.missing_fields:
            self.missing_fields &= missing_fields()
        for name in unknown_fields:
            if len(self.unknown_fields) < MOST_FIELDS:
                self.unknown_fields.add(name[:LONGEST_FIELD])

    def look_for(self, names: Iterable[str], record: str) -> None:
        """Look whether a record has fields, dots for nesting, that none before it had."""
        if not self.found_fields.issuperset(names):
            content = json.loads(record)
            for name in set(names) - self.found_fields:
                found = _has(content, name.split("."))
                if found:
                    self.found_fields.add(name)
                elif found is False:
                    self.missed_fields[name] += 1

    @property
    def vanished_fields(self) -> list[str]:
        """The fields that were looked for and that no record has, if there were enough of them."""
        return sorted(
            name
            for name, missed in self.missed_fields.items()
            if name not in self.found_fields and missed >= ENOUGH_RECORDS
        )

    @property
    def rejected_share(self) -> float:
        """The rejected part of the records, in 0..1.

        Records without a day come with every answer of a store that does not filter by date, so
        they are measured against all records received, those of other days included; the others
        against those of the days asked.
        """
        rejected = self.rejected.counts.total() - self.undated
        dated = rejected / max(1, rejected + self.accepted.counts.total())
        return max(dated, self.undated / max(1, self.received))


def _has(value: object, path: Sequence[str]) -> bool | None:
    """Whether a JSON value has something at a path; unknown where an empty list is on the way."""
    if isinstance(value, list):
        return any(_has(element, path) for element in value) if value else None
    if not path or value is None:
        return value is not None
    return _has(value.get(path[0]), path[1:]) if isinstance(value, dict) else False
