"""The Files API: files and directories of Unity Catalog's volumes, as raw bytes.

There are two volumes, `/Volumes/main/storepipe/staging` and `readonly`. It is stricter than the
real API in one thing: an upload does not make the directories above the file.
"""

import base64
import re
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storepipe_dagster_tests.servers.databricks.errors import ApiError, denied
from storepipe_dagster_tests.servers.databricks.exchange import Answer, Request

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

VOLUMES = ("/Volumes/main/storepipe/staging", "/Volumes/main/storepipe/readonly")
READ_ONLY = "/Volumes/main/storepipe/readonly"
MAX_PAGE = 1000
VOLUME_DEPTH = 4
NO_CONTENT = Answer(204)


def upload(workspace: "Workspace", request: Request) -> Answer:
    path, local = _place(workspace, request, write=True)
    if not local.parent.is_dir():
        raise _no_directory()
    if local.is_dir():
        raise ApiError(
            409, "ALREADY_EXISTS", "A directory exists at the path of the file being created."
        )
    if local.exists() and request.query.get("overwrite", "false") != "true":
        raise ApiError(
            409,
            "ALREADY_EXISTS",
            "The file being created already exists.",
            reason="FILES_API_FILE_ALREADY_EXISTS",
        )
    if path in VOLUMES:
        raise _bad_path(path)
    workspace.replace(local, request.body)
    return NO_CONTENT


def download(workspace: "Workspace", request: Request) -> Answer:
    local = _file(workspace, request)
    data = local.read_bytes()
    headers = _headers(local)
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if not asked:
        return Answer(200, data, headers)
    start, end = int(asked[1]), int(asked[2] or len(data) - 1)
    if start >= len(data):
        raise ApiError(416, "INVALID_PARAMETER_VALUE", "The range is not in the file.")
    headers["content-range"] = f"bytes {start}-{min(end, len(data) - 1)}/{len(data)}"
    return Answer(206, data[start : end + 1], headers)


def describe(workspace: "Workspace", request: Request) -> Answer:
    local = _file(workspace, request)
    return Answer(200, b"", {**_headers(local), "content-length": str(local.stat().st_size)})


def delete(workspace: "Workspace", request: Request) -> Answer:
    _place(workspace, request, write=True)
    _file(workspace, request).unlink()
    return NO_CONTENT


def make_directory(workspace: "Workspace", request: Request) -> Answer:
    _, local = _place(workspace, request, write=True)
    try:
        local.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise ApiError(
            409, "ALREADY_EXISTS", "A file exists at the path of the directory being created."
        ) from None
    return NO_CONTENT


def describe_directory(workspace: "Workspace", request: Request) -> Answer:
    _directory(workspace, request)
    return Answer(200, b"")


def delete_directory(workspace: "Workspace", request: Request) -> Answer:
    path, _ = _place(workspace, request, write=True)
    local = _directory(workspace, request)
    if path in VOLUMES:
        raise _bad_path(path)
    if any(local.iterdir()):
        raise ApiError(
            400,
            "INVALID_PARAMETER_VALUE",
            "The directory is not empty.",
            reason="FILES_API_DIRECTORY_IS_NOT_EMPTY",
        )
    local.rmdir()
    return NO_CONTENT


def list_directory(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """One page; the next token is there whenever more follows."""
    path, _ = _place(workspace, request)
    inside = sorted(_directory(workspace, request).iterdir())
    size = min(request.number("page_size", MAX_PAGE), MAX_PAGE) or MAX_PAGE
    start = _start(request.query.get("page_token"))
    listed: dict[str, Any] = {
        "contents": [_entry(path, one) for one in inside[start : start + size]]
    }
    if start + size < len(inside):
        listed["next_page_token"] = base64.urlsafe_b64encode(str(start + size).encode()).decode()
    return listed


def _start(token: str | None) -> int:
    try:
        return int(base64.urlsafe_b64decode(token)) if token else 0
    except ValueError:
        raise ApiError(400, "INVALID_PARAMETER_VALUE", "The page token is not valid.") from None


def _entry(path: str, local: Path) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": local.name,
        "path": f"{path}/{local.name}",
        "is_directory": local.is_dir(),
        "last_modified": int(local.stat().st_mtime * 1000),
    }
    if local.is_file():
        entry["file_size"] = local.stat().st_size
    return entry


def _place(workspace: "Workspace", request: Request, *, write: bool = False) -> tuple[str, Path]:
    names = [name for name in request.parts["path"].split("/") if name]
    path = "/" + "/".join(names)
    if names[:1] != ["Volumes"] or {"..", "."} & set(names):
        raise _bad_path(path)
    volume = "/" + "/".join(names[:VOLUME_DEPTH])
    if volume not in VOLUMES:
        raise ApiError(
            404, "NOT_FOUND", f"Volume '{'.'.join(names[1:VOLUME_DEPTH])}' does not exist."
        )
    if write and volume == READ_ONLY:
        raise denied(
            f"User does not have WRITE VOLUME on Volume '{'.'.join(names[1:VOLUME_DEPTH])}'."
        )
    return path, workspace.folder / path.lstrip("/")


def _file(workspace: "Workspace", request: Request) -> Path:
    _, local = _place(workspace, request)
    if not local.is_file():
        raise ApiError(
            404,
            "NOT_FOUND",
            "The file being accessed is not found.",
            reason="FILES_API_FILE_NOT_FOUND",
        )
    return local


def _directory(workspace: "Workspace", request: Request) -> Path:
    _, local = _place(workspace, request)
    if not local.is_dir():
        raise _no_directory()
    return local


def _no_directory() -> ApiError:
    return ApiError(
        404,
        "NOT_FOUND",
        "The directory being accessed is not found.",
        reason="FILES_API_DIRECTORY_IS_NOT_FOUND",
    )


def _bad_path(path: str) -> ApiError:
    return ApiError(400, "INVALID_PARAMETER_VALUE", f"Invalid path: {path}")


def _headers(local: Path) -> dict[str, str]:
    return {
        "content-type": "application/octet-stream",
        "last-modified": formatdate(local.stat().st_mtime, usegmt=True),
        "accept-ranges": "bytes",
    }
