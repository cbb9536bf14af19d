"""Whether the Databricks workspace answers, knows us and has the cluster.

Only what ``storepipe doctor`` tells; Spark steps do not run there yet.
"""

from collections.abc import Mapping

import requests

from storepipe_dagster.doctor import TroubleError
from storepipe_dagster.doctor.http import ask
from storepipe_dagster.settings import Settings

STAGING = ("dbfs:/", "/Volumes/")
UNKNOWN_CLUSTER = {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"}
OK, UNAUTHENTICATED, FORBIDDEN = 200, 401, 403


def check(settings: Settings) -> str:
    """One cheap question succeeds: which cluster it is, or who we are."""
    host = str(settings.databricks_host).rstrip("/")
    host = host if "://" in host else f"https://{host}"
    if not str(settings.databricks_staging).startswith(STAGING):
        raise TroubleError("DATABRICKS_STAGING has to begin with dbfs:/ or /Volumes/. Correct it.")
    cluster = settings.databricks_cluster_id
    question = f"2.0/clusters/get?cluster_id={cluster}" if cluster else "2.0/preview/scim/v2/Me"
    headers = {"Authorization": f"Bearer {_token(settings, host)}"}
    with _ask(host, f"/api/{question}", headers=headers) as response:
        answer = _json(response)
        if response.status_code != OK or not answer:
            raise TroubleError(_refusal(host, cluster, response, answer))
    if not cluster:
        return f"{host} knows us; a new job cluster will run the steps"
    return f"{host}: cluster {cluster} is {answer.get('state', 'there')}"


def _token(settings: Settings, host: str) -> str:
    """The token of the settings, or one for their service principal."""
    if settings.databricks_token:
        return settings.databricks_token.get_secret_value()
    secret = settings.databricks_client_secret
    login = (settings.databricks_client_id, secret.get_secret_value() if secret else "")
    wanted = {"grant_type": "client_credentials", "scope": "all-apis"}
    with _ask(host, "/oidc/v1/token", "POST", auth=login, data=wanted) as response:
        token = _json(response).get("access_token")
        if response.status_code != OK or token is None:
            raise TroubleError(
                f"{host} refuses the service principal ({response.status_code}). "
                "Check DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET."
            )
        return str(token)


def _ask(host: str, path: str, method: str = "GET", **options: object) -> requests.Response:
    options = {"allow_redirects": False, **options}  # a redirect would lead to a page for people
    return ask(f"{host}{path}", f"Databricks at {host}", "DATABRICKS_HOST", method, **options)


def _refusal(
    host: str, cluster: str | None, response: requests.Response, answer: Mapping[str, object]
) -> str:
    status, code = response.status_code, answer.get("error_code")
    if status == UNAUTHENTICATED:
        return f"{host} refuses the token: it is wrong or has expired. Check DATABRICKS_TOKEN."
    if status == FORBIDDEN:
        what = f"the cluster {cluster}" if cluster else "its API"
        return (
            f"{host} does not let us use {what}. Give this user or service principal the right "
            "(Can Restart on the cluster), or check DATABRICKS_TOKEN."
        )
    if code in UNKNOWN_CLUSTER:
        return f"{host} has no cluster {cluster}. Check DATABRICKS_CLUSTER_ID."
    return (
        f"{host} answers {status} {code or response.reason}. Check that DATABRICKS_HOST is the "
        "address of a workspace."
    )


def _json(response: requests.Response) -> dict[str, object]:
    try:
        answer = response.json()
    except requests.RequestException:  # a page for people
        return {}
    return answer if isinstance(answer, dict) else {}
