"""Whether the Databricks workspace knows us, and has what the step launcher will ask it for.

A cluster, or what a new one is made of; the staging area; the secrets that the cluster reads: asked
with the launcher's own SDK.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.core import Config, oauth_service_principal, pat_auth
from databricks.sdk.errors import (
    DeadlineExceeded,
    InternalError,
    InvalidParameterValue,
    NotFound,
    PermissionDenied,
    TemporarilyUnavailable,
    TooManyRequests,
    Unauthenticated,
)
from databricks.sdk.errors.base import DatabricksError
from databricks.sdk.service.compute import DataSecurityMode

from storepipe_dagster.doctor import TroubleError
from storepipe_dagster.doctor.http import ask
from storepipe_dagster.resources.databricks.clients import VOLUMES
from storepipe_dagster.resources.databricks.step_launcher import secret_key
from storepipe_dagster.settings import Settings

# To connect, and for each answer. Importing takes about three of the doctor's seven seconds.
CONNECT_SECONDS, SECONDS = 2.0, 3.0
RETRY_SECONDS = 1  # the least that the SDK knows
DISCOVERY = "/oidc/.well-known/oauth-authorization-server"  # every workspace tells it to everybody
ENDPOINT = "token_endpoint"
OK = 200
OLDEST = (17, 3)  # the first runtime with Spark 4
RUNTIME = re.compile(r"(\d+)\.(\d+|x)")
# How the SDK's ValueError begins for a login that is refused; other ones are answers without sense.
REFUSED = ("invalid_", "unauthorized", "access_denied", "validate:")
UNREADABLE = "unable to parse response."  # then comes the whole answer
LONGEST = 300
AWAY = (
    requests.ConnectionError,
    requests.Timeout,
    TimeoutError,
    TemporarilyUnavailable,
    TooManyRequests,
    InternalError,
    DeadlineExceeded,
)
SHARED = {
    DataSecurityMode.USER_ISOLATION,
    DataSecurityMode.DATA_SECURITY_MODE_STANDARD,
    DataSecurityMode.LEGACY_TABLE_ACL,
    DataSecurityMode.LEGACY_PASSTHROUGH,
}
WITHOUT_VOLUMES = {
    DataSecurityMode.NONE,
    DataSecurityMode.LEGACY_SINGLE_USER,
    DataSecurityMode.LEGACY_SINGLE_USER_STANDARD,
}
DEDICATED = "Use a cluster in dedicated access mode (SINGLE_USER), or unset DATABRICKS_CLUSTER_ID."
VOLUME_DEPTH = 5  # the parts of /Volumes/CATALOG/SCHEMA/VOLUME
ABSENT_FILE = "storepipe-doctor-looks-for-this"


def check(settings: Settings) -> str:
    """We are known there, and nothing that the launcher needs is missing."""
    host = str(settings.databricks_host)
    _reach(host)
    with _told(settings, host):
        client, user = _log_in(settings, host)
        found = [
            _cluster(client, settings, host)
            if settings.databricks_cluster_id
            else _new_cluster(client, settings, host),
            _staging(client, settings, host),
            _secrets(client, settings, host),
        ]
    return f"{host} knows {user}; {', '.join(filter(None, found))}"


def _reach(host: str) -> None:
    """What listens there is a workspace: the SDK would try for minutes to learn that."""
    where = f"Databricks at {host}"
    options = {"timeout": (CONNECT_SECONDS, SECONDS), "allow_redirects": False}
    with ask(f"{host}{DISCOVERY}", where, "DATABRICKS_HOST", **options) as response:
        if "private-link" in response.headers.get("Location", ""):
            raise TroubleError(
                f"{host} lets us in through Private Link only. Run this in its network."
            )
        try:
            answer = response.json()
        except requests.RequestException:  # a page for people
            answer = None
        if response.status_code != OK or not isinstance(answer, dict) or ENDPOINT not in answer:
            raise TroubleError(_no_workspace(host, f"{response.status_code} {response.reason}"))


def _log_in(settings: Settings, host: str) -> tuple[WorkspaceClient, str]:
    """A client that is let in, and as whom."""
    token, secret = settings.databricks_token, settings.databricks_client_secret
    login: dict[str, Any]
    if token:
        variables = "DATABRICKS_TOKEN"
        login = {"token": token.get_secret_value(), "credentials_strategy": pat_auth}
    else:
        variables = "DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET"
        login = {
            "client_id": settings.databricks_client_id,
            "client_secret": secret.get_secret_value() if secret else None,
            "credentials_strategy": oauth_service_principal,
        }
    login |= {"http_timeout_seconds": SECONDS, "retry_timeout_seconds": RETRY_SECONDS}
    try:
        client = WorkspaceClient(config=Config(host=host, **login))
        return client, str(client.current_user.me().user_name)
    except requests.RequestException:
        raise
    except (Unauthenticated, PermissionDenied) as error:
        said = _said(error, settings)
    except (ValueError, NotImplementedError) as error:
        if not str(error).startswith(REFUSED):
            raise TroubleError(_no_workspace(host, "no access token")) from None
        said = _said(error, settings)
    raise TroubleError(f"{host} refuses our login ({said}). Check {variables}.")


def _cluster(client: WorkspaceClient, settings: Settings, host: str) -> str:
    """The existing cluster can run the steps."""
    name = str(settings.databricks_cluster_id)
    try:
        cluster = client.clusters.get(name)
    except (NotFound, InvalidParameterValue):
        raise TroubleError(f"{host} has no cluster {name}. Check DATABRICKS_CLUSTER_ID.") from None
    except PermissionDenied as error:
        raise TroubleError(
            f"{host} does not let us use the cluster {name} ({_said(error, settings)}). Give this "
            "user or service principal the right Can Restart on it."
        ) from None
    mode, version = cluster.data_security_mode, str(cluster.spark_version)
    if mode in SHARED:
        raise TroubleError(f"The cluster {name} is a shared one ({mode.value}). {DEDICATED}")
    if mode in WITHOUT_VOLUMES and _in_volume(settings):
        raise TroubleError(
            f"The cluster {name} reaches no volumes ({mode.value}), and DATABRICKS_STAGING is in "
            f"one. {DEDICATED}"
        )
    _check_age(version, f"The cluster {name}", "Give it a newer one")
    state = cluster.state.value if cluster.state else "there"
    return f"cluster {name} is {state} ({version})"


def _new_cluster(client: WorkspaceClient, settings: Settings, host: str) -> str:
    """The workspace has what a cluster for each run is made of."""
    version, node_type = settings.databricks_spark_version, settings.databricks_node_type
    _check_age(version, "DATABRICKS_SPARK_VERSION", "Set it to a newer one")
    if settings.databricks_policy_id:
        return f"new clusters of {version} by the policy {settings.databricks_policy_id}"
    versions = [one.key for one in client.clusters.spark_versions().versions or []]
    if version not in versions:
        raise TroubleError(
            f"{host} has no runtime {version}. Set DATABRICKS_SPARK_VERSION to one that "
            "`databricks clusters spark-versions` lists."
        )
    if settings.databricks_instance_pool_id:
        return f"new clusters of {version} from the pool {settings.databricks_instance_pool_id}"
    if obstacles := _obstacles(client, node_type):
        raise TroubleError(
            f"{host} has no nodes {node_type} ({obstacles}). Set DATABRICKS_NODE_TYPE to one that "
            "`databricks clusters list-node-types` lists."
        )
    return f"new clusters of {version} on {node_type}"


def _obstacles(client: WorkspaceClient, node_type: str) -> str:
    """What the workspace or its cloud has against a node type."""
    for node in client.clusters.list_node_types().node_types or []:
        if node.node_type_id == node_type:
            info = node.node_info
            return ", ".join(status.value for status in (info and info.status) or [])
    return "unknown"


def _check_age(version: str, what: str, remedy: str) -> None:
    number = RUNTIME.match(version)
    if number and (int(number[1]), int(number[2].replace("x", "0"))) < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        raise TroubleError(
            f"{what} has the runtime {version}, which is too old. {remedy}: {oldest} or later."
        )


def _staging(client: WorkspaceClient, settings: Settings, host: str) -> str:
    """The staging area is there."""
    staging = str(settings.databricks_staging)
    if not _in_volume(settings):
        try:
            client.dbfs.get_status("/")
        except PermissionDenied as error:
            raise TroubleError(
                f"{host} has no DBFS for us to stage in ({_said(error, settings)}). Set "
                "DATABRICKS_STAGING to a folder in a Unity Catalog volume, "
                "/Volumes/CATALOG/SCHEMA/VOLUME/FOLDER."
            ) from None
        return f"staging in {staging}"
    volume = "/".join(staging.split("/")[:VOLUME_DEPTH])
    try:
        client.files.get_directory_metadata(volume)
        with suppress(NotFound):  # it would have let us; there was nothing to do it to
            client.files.delete(f"{volume}/{ABSENT_FILE}")
    except NotFound:
        raise TroubleError(
            f"{host} has no volume {volume}. Make it, or check DATABRICKS_STAGING."
        ) from None
    except PermissionDenied as error:
        raise TroubleError(
            f"{host} does not let us stage in {volume} ({_said(error, settings)}). Give this user "
            "or service principal USE CATALOG, USE SCHEMA, READ VOLUME and WRITE VOLUME."
        ) from None
    return f"staging in {staging}"


def _in_volume(settings: Settings) -> bool:
    return str(settings.databricks_staging).startswith(VOLUMES)


def _secrets(client: WorkspaceClient, settings: Settings, host: str) -> str:
    """The scope has the keys, whose values nobody asks for here."""
    scope = settings.databricks_secret_scope
    if scope is None:
        return ""
    needed = map(secret_key, settings.cluster_secrets)
    try:
        there = {secret.key for secret in client.secrets.list_secrets(scope)}
    except PermissionDenied:
        return f"secrets in the scope {scope}, which we may not list"
    except NotFound:
        raise TroubleError(
            f"{host} has no secret scope {scope}. Make it: `databricks secrets create-scope "
            f"{scope}`, or check DATABRICKS_SECRET_SCOPE."
        ) from None
    if missing := [key for key in needed if key not in there]:
        commands = ", ".join(f"`databricks secrets put-secret {scope} {key}`" for key in missing)
        raise TroubleError(
            f"The secret scope {scope} has no {' and no '.join(missing)}. Put it there: {commands}."
        )
    return f"secrets in the scope {scope}"


@contextmanager
def _told(settings: Settings, host: str) -> Iterator[None]:
    """Tell what no check has foreseen of an answer."""
    try:
        yield
    except AWAY as error:
        reason = error.__cause__ or error
        raise TroubleError(
            f"{host} cannot answer at present ({type(reason).__name__}). Try again later."
        ) from None
    except requests.RequestException as error:
        raise TroubleError(_no_workspace(host, type(error).__name__)) from None
    except DatabricksError as error:
        raise TroubleError(
            f"{host} refuses: {_said(error, settings)}. Check the DATABRICKS_ settings."
        ) from None


def _no_workspace(host: str, answer: str) -> str:
    return (
        f"{host} does not answer as a workspace does ({answer}). Check that DATABRICKS_HOST is the "
        "address of a workspace, and that it lets this machine in."
    )


def _said(error: Exception, settings: Settings) -> str:
    """The words of the workspace, without what the SDK adds to them: its settings or its log."""
    said = str(error).partition(". Config: ")[0].rstrip(".")
    if said.startswith(UNREADABLE):
        return "with a page for people"
    for secret in (settings.databricks_token, settings.databricks_client_secret):
        said = said.replace(secret.get_secret_value(), "***") if secret else said
    return said if len(said) <= LONGEST else f"{said[:LONGEST]}…"
