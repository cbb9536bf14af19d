"""What is known of a capture's files: how many records each has, and the bytes that were written.

A capture's manifest, ``raw/<table>/_manifests/<capture time>.json``, is written after its files. It
holds counts, sizes and hashes, and nothing of the records. A file that no manifest knows, put there
by hand or written just before a process was killed, counts if it is one JSON array of objects.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta, timezone

import dagster as dg
from pydantic import BaseModel, TypeAdapter, ValidationError

from storepipe_dagster.errors import UserError
from storepipe_dagster.io_managers.lake import Lake
from storepipe_dagster.times import STAMP_PATTERN, capture_stamp

MANIFESTS = "_manifests"
MANIFESTS_AT_A_TIME = 32
DAY_IN_PATH = re.compile(r"=(\d{4}-\d{2}-\d{2})/")


class DamagedCaptureError(UserError):
    """A capture is not what was written; the message names the file and what is wrong with it."""


class FileFacts(BaseModel):
    """What a manifest knows of a file."""

    records: int
    rejected: int
    bytes: int
    sha256: str


class Manifest(BaseModel):
    """One capture; its files by their path in the folder of the asset."""

    captured_at: datetime
    files: dict[str, FileFacts]


class _AnyObject(BaseModel):
    """A JSON object, of which nothing is kept."""


_array_of_objects = TypeAdapter(list[_AnyObject])


def manifest_path(lake: Lake, key: dg.AssetKey, stamp: str) -> str:
    """Where the manifest of a capture is kept."""
    return lake.path(key, MANIFESTS, f"{stamp}.json")


def write_manifest(
    lake: Lake, key: dg.AssetKey, captured_at: datetime, files: Mapping[str, FileFacts]
) -> None:
    """Write the manifest of a capture whose files, by path, are written."""
    root = f"{lake.path(key)}/"
    manifest = Manifest(
        captured_at=captured_at,
        files={path.removeprefix(root): facts for path, facts in files.items()},
    )
    with lake.write(manifest_path(lake, key, capture_stamp(captured_at))) as file:
        file.write(manifest.model_dump_json(indent=1).encode())


def read_facts(lake: Lake, key: dg.AssetKey, paths: Iterable[str]) -> dict[str, FileFacts]:
    """What manifests know of these files, by path; only the manifests of their captures are read.

    Raises ``DamagedCaptureError`` for a manifest that is none.
    """
    wanted, root = frozenset(paths), lake.path(key)
    stamps = {re.findall(STAMP_PATTERN, path)[-1] for path in wanted}
    manifests = [manifest_path(lake, key, stamp) for stamp in sorted(stamps)]
    facts: dict[str, FileFacts] = {}
    for path, content in _contents(lake, manifests, MANIFESTS_AT_A_TIME):
        if content is None:
            continue
        try:
            files = Manifest.model_validate_json(content).files
        except ValidationError as error:
            raise DamagedCaptureError(
                f"The manifest {path} is damaged: {_first(error)}. Bring it back from a backup, or "
                "remove it: its captures are then checked to be JSON only."
            ) from None
        facts |= {f"{root}/{name}": files[name] for name in files if f"{root}/{name}" in wanted}
    return facts


def verified(
    lake: Lake, key: dg.AssetKey, paths: Sequence[str], at_a_time: int = 1
) -> Iterator[tuple[str, bytes]]:
    """The captures at these paths, in order, each as it was written.

    Raises ``DamagedCaptureError`` for a file that is not there, not as its manifest has it, or
    without a manifest no JSON array of objects.
    """
    facts = read_facts(lake, key, paths)
    for path, content in _contents(lake, paths, at_a_time):
        if content is None:
            raise damaged(key, path, "it was removed while it was needed")
        if path in facts:
            _expect_as_written(lake, key, path, content, facts[path])
        else:
            count_records(key, path, content)
        yield path, content


def count_records(key: dg.AssetKey, path: str, content: bytes) -> int:
    """The records of a file that no manifest knows; raises ``DamagedCaptureError``."""
    if not content:
        raise damaged(key, path, "it is empty")
    try:
        return len(_array_of_objects.validate_json(content))
    except ValidationError as error:
        raise damaged(key, path, f"it is no JSON array of objects: {_first(error)}") from None


def _expect_as_written(
    lake: Lake, key: dg.AssetKey, path: str, content: bytes, facts: FileFacts
) -> None:
    if len(content) != facts.bytes:
        was = "is empty" if not content else f"has {len(content):,} bytes"
        raise damaged(key, path, f"it {was} where {facts.bytes:,} bytes were written")
    if hashlib.sha256(content).hexdigest() != facts.sha256:
        manifest = manifest_path(lake, key, re.findall(STAMP_PATTERN, path)[-1])
        raise damaged(
            key,
            path,
            "its content is not what was written (SHA-256 differs)",
            f" If it was changed on purpose, remove its manifest {manifest}.",
        )


def _contents(
    lake: Lake, paths: Sequence[str], at_a_time: int
) -> Iterator[tuple[str, bytes | None]]:
    """The content of files, so many at a time; none of a file that is not there."""
    for start in range(0, len(paths), at_a_time):
        some = list(paths[start : start + at_a_time])
        with lake.explained():
            # Unlike `cat`, it takes no character of a path for a pattern.
            contents = lake.files.cat_ranges(some, None, None, on_error="return")
            for content in contents:
                if isinstance(content, Exception) and not isinstance(content, FileNotFoundError):
                    raise content
        for path, content in zip(some, contents, strict=True):
            yield path, None if isinstance(content, Exception) else content


def damaged(key: dg.AssetKey, path: str, problem: str, hint: str = "") -> DamagedCaptureError:
    """The error that names a capture, what is wrong with it and what to do."""
    name, in_path = key.to_user_string(), DAY_IN_PATH.findall(path)
    yesterday = (datetime.now(timezone.utc) - timedelta(days=1)).date()
    day = in_path[-1] if in_path else yesterday
    return DamagedCaptureError(
        f"The capture {path} is damaged: {problem}. Bring it back from a backup. If it is lost, "
        f"remove it and capture again: storepipe run --from {day} --to {day} "
        f"--select 'key:\"{name}\"'.{hint}"
    )


def _first(error: ValidationError) -> str:
    """The first problem, without any of the content."""
    problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
