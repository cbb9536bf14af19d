"""Who asks and who may: tokens, OAuth for service principals, permissions, names of secrets."""

import base64
import binascii
import secrets
import time
import urllib.parse
from typing import TYPE_CHECKING, Any

from storepipe_dagster_tests.servers.databricks.errors import ApiError, denied, invalid, missing
from storepipe_dagster_tests.servers.databricks.exchange import Answer, Request

if TYPE_CHECKING:
    from storepipe_dagster_tests.servers.databricks.workspace import Workspace

USER = "ana@example.com"
PRINCIPALS = {
    "user_name": {USER},
    "group_name": {"users", "engineers", "admins"},
    "service_principal_name": set[str](),
}
SHOWN = {
    "user_name": "UserName",
    "group_name": "GroupName",
    "service_principal_name": "ServicePrincipalName",
}
LEVELS = {
    "jobs": ("CAN_VIEW", "CAN_MANAGE_RUN", "CAN_MANAGE", "IS_OWNER"),
    "clusters": ("CAN_ATTACH_TO", "CAN_RESTART", "CAN_MANAGE"),
}
TOKEN_SECONDS = 3600


def authenticate(workspace: "Workspace", headers: Any) -> str:
    """Who sends these headers; raises what the real workspace answers otherwise."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise ApiError(
            401,
            401,
            f"Credential was not sent or was of an unsupported type for this API. [{_request()}]",
            headers={"www-authenticate": 'Bearer realm="DatabricksRealm"'},
        )
    if secrets.compare_digest(token, workspace.token):
        return USER
    if workspace.access_tokens.get(token, 0) > time.time():
        return workspace.client_id
    raise ApiError(
        403,
        403,
        f"Invalid access token. [{_request()}]",
        headers={"x-databricks-reason-phrase": "Invalid access token."},
    )


def describe_oauth(workspace: "Workspace", request: Request) -> dict[str, Any]:
    return {
        "issuer": f"{workspace.host}/oidc",
        "authorization_endpoint": f"{workspace.host}/oidc/v1/authorize",
        "token_endpoint": f"{workspace.host}/oidc/v1/token",
        "jwks_uri": f"{workspace.host}/oidc/jwks.json",
        "grant_types_supported": ["client_credentials", "authorization_code", "refresh_token"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    }


def issue_token(workspace: "Workspace", request: Request) -> Answer:
    form = dict(urllib.parse.parse_qsl(request.body.decode(errors="replace")))
    if form.get("grant_type") != "client_credentials":
        return _refused(400, "unsupported_grant_type", "The grant type is not supported")
    if "all-apis" not in form.get("scope", "").split():
        return _refused(400, "invalid_scope", "The scope must be all-apis")
    given = _basic(request) or (form.get("client_id", ""), form.get("client_secret", ""))
    if given != (workspace.client_id, workspace.client_secret):
        return _refused(401, "invalid_client", "Client authentication failed")
    token = f"eyJ{secrets.token_urlsafe(48)}"
    workspace.access_tokens[token] = time.time() + TOKEN_SECONDS
    issued = {"access_token": token, "token_type": "Bearer", "scope": "all-apis"}
    return Answer(200, {**issued, "expires_in": TOKEN_SECONDS})


def describe_me(workspace: "Workspace", request: Request) -> dict[str, Any]:
    return {
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "id": "6000000000000001" if request.user == USER else "6000000000000002",
        "userName": request.user,
        "displayName": "Ana" if request.user == USER else "storepipe",
        "active": True,
        "groups": [{"display": "users", "type": "direct"}],
    }


def list_scopes(workspace: "Workspace", request: Request) -> dict[str, Any]:
    scopes = dict.fromkeys(scope for scope, _ in sorted(workspace.secrets))
    if not scopes:
        return {}
    return {"scopes": [{"name": name, "backend_type": "DATABRICKS"} for name in scopes]}


def list_secrets(workspace: "Workspace", request: Request) -> dict[str, Any]:
    scope = request.text("scope")
    if scope in workspace.closed_scopes:
        raise denied(f"User {request.user} does not have READ permission on scope {scope}")
    keys = [key for owner, key in sorted(workspace.secrets) if owner == scope]
    if not keys:
        raise missing(f"Scope {scope} does not exist!")
    now = int(time.time() * 1000)
    return {"secrets": [{"key": key, "last_updated_timestamp": now} for key in keys]}


def get_permissions(workspace: "Workspace", request: Request) -> dict[str, Any]:
    kind, identity = _object(workspace, request)
    entries = workspace.permissions.get((kind, identity), [])
    if kind == "jobs":
        owner = _run_of_job(workspace, identity).creator
        entries = [{_name_of(owner): owner, "permission_level": "IS_OWNER"}, *entries]
    admins = {"group_name": "admins", "permission_level": "CAN_MANAGE"}
    return {
        "object_id": f"/{kind}/{identity}",
        "object_type": kind.removesuffix("s"),
        "access_control_list": [
            *(_shown_entry(entry, inherited=False) for entry in entries),
            _shown_entry(admins, inherited=True),
        ],
    }


def change_permissions(workspace: "Workspace", request: Request) -> dict[str, Any]:
    """PATCH adds to what is there, a new level for who has one already; PUT replaces it."""
    kind, identity = _object(workspace, request)
    asked = request.json.get("access_control_list", [])
    for entry in asked:
        _check_entry(workspace, kind, entry)
    kept = [] if request.method == "PUT" else workspace.permissions.get((kind, identity), [])
    entries = {_principal(entry): dict(entry) for entry in [*kept, *asked]}
    workspace.permissions[kind, identity] = list(entries.values())
    if kind == "jobs":
        _run_of_job(workspace, identity).permissions = list(entries.values())
    return get_permissions(workspace, request)


def _check_entry(workspace: "Workspace", kind: str, entry: dict[str, str]) -> None:
    names = [name for name in PRINCIPALS if entry.get(name)]
    if len(names) != 1:
        raise invalid("Exactly one of user_name, group_name, service_principal_name must be given")
    (name,) = names
    level = entry.get("permission_level")
    if level not in LEVELS[kind]:
        raise invalid(f"Permission level {level} is not one of {', '.join(LEVELS[kind])}")
    if level == "IS_OWNER" and name == "group_name":
        raise invalid("Groups can not be owner")
    known = PRINCIPALS[name] | ({workspace.client_id} if name.startswith("service") else set())
    if entry[name] not in known:
        raise missing(f"Principal: {SHOWN[name]}({entry[name]}) does not exist")


def _object(workspace: "Workspace", request: Request) -> tuple[str, str]:
    kind, identity = request.parts["kind"], request.parts["identity"]
    if kind not in LEVELS:
        raise invalid(f"'{kind}' is not a supported object type here")
    if kind == "jobs":
        _run_of_job(workspace, identity)
    elif workspace.find_cluster(identity) is None:
        raise missing(f"Cluster {identity} does not exist")
    return kind, identity


def _run_of_job(workspace: "Workspace", job_id: str) -> Any:
    for run in workspace.runs.values():
        if str(run.job_id) == job_id:
            return run
    raise missing(f"Job {job_id} does not exist.")


def _shown_entry(entry: dict[str, str], *, inherited: bool) -> dict[str, Any]:
    name, value = _principal(entry)
    level = {"permission_level": entry["permission_level"], "inherited": inherited}
    return {name: value, "display_name": value, "all_permissions": [level]}


def _principal(entry: dict[str, str]) -> tuple[str, str]:
    return next((name, entry[name]) for name in PRINCIPALS if entry.get(name))


def _name_of(principal: str) -> str:
    return "user_name" if "@" in principal else "service_principal_name"


def _basic(request: Request) -> tuple[str, str] | None:
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _refused(status: int, error: str, description: str) -> Answer:
    return Answer(status, {"error": error, "error_description": description})


def _request() -> str:
    return f"ReqId: {secrets.token_hex(8)}"
