"""A request and its answer, as the handlers see them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from storepipe_dagster_tests.servers.databricks.errors import ApiError, invalid


@dataclass(frozen=True)
class Request:
    """What was asked; `user` is who asks, once that is known."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    parts: Mapping[str, Any] = field(default_factory=dict)
    user: str = ""

    @property
    def json(self) -> dict[str, Any]:
        try:
            parsed = json.loads(self.body or b"{}")
        except ValueError as error:
            raise ApiError(400, "MALFORMED_REQUEST", f"Invalid JSON: {error}") from None
        if not isinstance(parsed, dict):
            raise ApiError(
                400,
                "MALFORMED_REQUEST",
                "Invalid JSON given in the body of the request - expected a map",
            )
        return parsed

    def number(self, name: str, default: int | None = None) -> int:
        """A number of the query or the body."""
        given = self.query.get(name)
        if given is None and self.body:
            given = self.json.get(name)
        if given is None:
            if default is None:
                raise invalid(f"Missing required field: {name}")
            return default
        try:
            return int(given)
        except (TypeError, ValueError):
            raise invalid(f"Invalid value for {name}: {given!r} is not a number") from None

    def text(self, name: str) -> str:
        """A text of the query or the body, which must be there."""
        given = self.query.get(name)
        if given is None and self.body:
            given = self.json.get(name)
        if not isinstance(given, str) or not given:
            raise invalid(f"Missing required field: {name}")
        return given

    def flag(self, name: str) -> bool:
        given = self.query.get(name, self.json.get(name) if _is_json(self) else None)
        return given in (True, "true")


@dataclass(frozen=True)
class Answer:
    """What is answered where it is not JSON with status 200."""

    status: int = 200
    content: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").startswith("application/json")
