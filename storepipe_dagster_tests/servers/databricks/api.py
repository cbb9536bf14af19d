"""The REST API as a web application: its addresses, who is let in, and how it refuses."""

import json
import re
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from storepipe_dagster_tests.servers.databricks import (
    accounts,
    clusters,
    dbfs,
    runs,
    submission,
    volumes,
)
from storepipe_dagster_tests.servers.databricks.errors import ApiError
from storepipe_dagster_tests.servers.databricks.exchange import Answer, Request

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

Handler = Callable[["Workspace", Request], "Answer | dict[str, Any]"]

API = "/api/2.{minor:int}"
OPEN: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/oidc/.well-known/oauth-authorization-server", accounts.describe_oauth),
    ("POST", "/oidc/v1/token", accounts.issue_token),
)
GUARDED: tuple[tuple[str, str, Handler], ...] = (
    ("POST", f"{API}/dbfs/create", dbfs.create),
    ("POST", f"{API}/dbfs/add-block", dbfs.add_block),
    ("POST", f"{API}/dbfs/close", dbfs.close),
    ("POST", f"{API}/dbfs/put", dbfs.put),
    ("POST", f"{API}/dbfs/delete", dbfs.delete),
    ("POST", f"{API}/dbfs/mkdirs", dbfs.make_directories),
    ("POST", f"{API}/dbfs/move", dbfs.move),
    ("GET", f"{API}/dbfs/get-status", dbfs.get_status),
    ("GET", f"{API}/dbfs/list", dbfs.list_files),
    ("GET", f"{API}/dbfs/read", dbfs.read),
    ("PUT", f"{API}/fs/files/{{path:path}}", volumes.upload),
    ("GET", f"{API}/fs/files/{{path:path}}", volumes.download),
    ("HEAD", f"{API}/fs/files/{{path:path}}", volumes.describe),
    ("DELETE", f"{API}/fs/files/{{path:path}}", volumes.delete),
    ("PUT", f"{API}/fs/directories/{{path:path}}", volumes.make_directory),
    ("GET", f"{API}/fs/directories/{{path:path}}", volumes.list_directory),
    ("HEAD", f"{API}/fs/directories/{{path:path}}", volumes.describe_directory),
    ("DELETE", f"{API}/fs/directories/{{path:path}}", volumes.delete_directory),
    ("POST", f"{API}/jobs/runs/submit", submission.submit),
    ("GET", f"{API}/jobs/runs/get", runs.get),
    ("GET", f"{API}/jobs/runs/get-output", runs.get_output),
    ("GET", f"{API}/jobs/runs/list", runs.list_runs),
    ("POST", f"{API}/jobs/runs/cancel", runs.cancel),
    ("GET", f"{API}/clusters/get", clusters.get),
    ("GET", f"{API}/clusters/spark-versions", clusters.list_runtimes),
    ("GET", f"{API}/clusters/list-node-types", clusters.list_node_types),
    ("GET", f"{API}/permissions/{{kind}}/{{identity}}", accounts.get_permissions),
    ("PATCH", f"{API}/permissions/{{kind}}/{{identity}}", accounts.change_permissions),
    ("PUT", f"{API}/permissions/{{kind}}/{{identity}}", accounts.change_permissions),
    ("GET", f"{API}/preview/scim/v2/Me", accounts.describe_me),
    ("GET", f"{API}/secrets/scopes/list", accounts.list_scopes),
    ("GET", f"{API}/secrets/list", accounts.list_secrets),
)
RUN_ID = re.compile(rb'"run_id"\s*:\s*(\d+)')


def make_application(workspace: "Workspace", record: Callable[..., None]) -> Starlette:
    """The application; it records each request before it answers."""

    def endpoint(handler: Handler, *, guarded: bool) -> Callable[[HttpRequest], Any]:
        async def answer(http: HttpRequest) -> Response:
            request = Request(
                method=http.method,
                path=http.url.path,
                query=dict(http.query_params),
                headers=http.headers,
                body=await http.body(),
                parts=http.path_params,
            )
            at = time.time()
            given = await run_in_threadpool(_answer, workspace, handler, request, guarded=guarded)
            response = _response(request, given)
            record(
                method=request.method,
                path=request.path,
                status=response.status_code,
                time=at,
                run_id=_run_id(request, response),
            )
            return response

        return answer

    routes = [
        _route(path, method, endpoint(handler, guarded=guarded))
        for table, guarded in ((OPEN, False), (GUARDED, True))
        for method, path, handler in table
    ]
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
    rest = Route("/{path:path}", endpoint(_refuse_unknown, guarded=True), methods=methods)
    return Starlette(routes=[*routes, rest])


def _route(path: str, method: str, endpoint: Callable[..., Any]) -> Route:
    route = Route(path, endpoint, methods=[method])
    route.methods = {method}  # Starlette adds HEAD to GET, but here they differ
    return route


def _answer(workspace: "Workspace", handler: Handler, request: Request, *, guarded: bool) -> Answer:
    try:
        if guarded:
            user = accounts.authenticate(workspace, request.headers)
            request = replace(request, user=user)
        given = handler(workspace, request)
    except ApiError as error:
        return Answer(error.status, error.body(), error.headers)
    except Exception as error:  # noqa: BLE001 - as the real API does; the test's output tells why
        traceback.print_exc(file=sys.stderr)
        return Answer(500, {"error_code": "INTERNAL_ERROR", "message": repr(error)})
    return given if isinstance(given, Answer) else Answer(200, given)


def _response(request: Request, answer: Answer) -> Response:
    headers = dict(answer.headers)
    if isinstance(answer.content, dict):
        headers["content-type"] = "application/json"
        content = json.dumps(answer.content).encode()
    else:
        content = answer.content or b""
    if request.method == "HEAD":
        content = b""
    return Response(content, answer.status, headers)


def _run_id(request: Request, response: Response) -> int | None:
    """Which run a request is about."""
    if "/jobs/runs/" not in request.path:
        return None
    asked = request.query.get("run_id", "")
    if asked.isdigit():
        return int(asked)
    found = RUN_ID.search(request.body) or RUN_ID.search(bytes(response.body))
    return int(found[1]) if found else None


def _refuse_unknown(workspace: "Workspace", request: Request) -> Answer:
    path = re.sub(r"^/api/2\.\d+", "", request.path)
    raise ApiError(404, "ENDPOINT_NOT_FOUND", f"No API found for '{request.method} {path}'")
