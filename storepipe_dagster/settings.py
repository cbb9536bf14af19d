"""The typed settings: every environment variable, read and validated once.

What a deployment is made of is in ``resources.deployments``; nothing else reads the environment.
"""

import re
import string
from collections.abc import Collection
from datetime import date, time
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import SplitResult, urlsplit

from dotenv import dotenv_values
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from storepipe_dagster.errors import UserError
from storepipe_dagster.storage_account import StorageAccount

Deployment = Literal["local", "azure", "databricks"]
PATH_CHARACTERS = frozenset(string.ascii_letters + string.digits + "/._-+=@,:!()$&;'")
RUNTIME_18_LTS = "18.x-scala2.13"  # Spark 4.1, Python 3.12
STAGING = re.compile(r"dbfs:/[^/].*|/Volumes/[^/]+/[^/]+/[^/]+.*")
PUBLIC_API = "https://fakestoreapi.com"
CONNECTION_STRING = "AZURE_STORAGE_CONNECTION_STRING"
SERVICE_PRINCIPAL = ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET")
LONGEST_SECONDS = 31 * 86400  # Python cannot wait for some years
OURS = "STOREPIPE_"
NEARLY = 0.85
READ_BY_OTHERS = {"DAGSTER_HOME", "DAGSTER_POSTGRES_PASSWORD", "DAGSTER_EVENT_BATCH_SIZE"} | {
    *SERVICE_PRINCIPAL
}
MYSQL = ("mysql_host", "mysql_user", "mysql_password", "mysql_database")


class SettingsError(UserError):
    """A variable is unset or has a value that cannot be used; the message names it."""


class Settings(BaseSettings):
    """One field per environment variable of the same name in capitals; also read from ``.env``."""

    model_config = SettingsConfigDict(
        env_file=".env", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    dagster_deployment: Deployment = "local"
    storepipe_home: Path = Path(".storepipe")
    storepipe_api_url: str = PUBLIC_API
    storepipe_api_seconds: float = Field(default=3600, gt=0, le=LONGEST_SECONDS)
    storepipe_api_record_characters: int = Field(default=16 * 2**20, ge=1)
    storepipe_api_answer_bytes: int = Field(default=16 * 2**30, ge=1)
    storepipe_start_date: date = date(2019, 12, 1)
    storepipe_spark_remote: str | None = Field(default=None, pattern=r"^sc://.+")
    storepipe_webhook_url: SecretStr | None = None
    storepipe_dagster_url: str | None = None
    storepipe_day_deadline: time = time(4)

    mysql_host: str | None = None
    mysql_port: int = Field(default=3306, ge=1, le=65535)
    mysql_user: str | None = None
    mysql_password: SecretStr | None = None
    mysql_database: str | None = None
    mysql_ssl_ca: Path | None = None

    azure_storage_connection_string: SecretStr | None = None
    azure_storage_account_name: str | None = None

    databricks_host: str | None = None
    databricks_token: SecretStr | None = None
    databricks_client_id: str | None = None
    databricks_client_secret: SecretStr | None = None
    databricks_staging: str | None = None
    databricks_secret_scope: str | None = None
    databricks_viewers: str = ""
    # An existing cluster, or what a new one for each run is made of.
    databricks_cluster_id: str | None = None
    databricks_spark_version: str = RUNTIME_18_LTS
    databricks_node_type: str = "Standard_D4ds_v5"
    databricks_workers: str = Field(default="0", pattern=r"^(0|[1-9]\d*)(-[1-9]\d*)?$")
    databricks_instance_pool_id: str | None = None
    databricks_policy_id: str | None = None
    databricks_single_user_name: str | None = None
    databricks_timeout_seconds: int = Field(default=4 * 3600, ge=1, le=LONGEST_SECONDS)
    databricks_poll_seconds: float = Field(default=5, gt=0, le=LONGEST_SECONDS)
    databricks_max_retries: int = Field(default=2, ge=0)
    databricks_retry_seconds: float = Field(default=30, ge=0, le=LONGEST_SECONDS)
    # Databricks sets it on its clusters, where only the lake is needed.
    databricks_runtime_version: str | None = None

    @field_validator("storepipe_home")
    @classmethod
    def _absolute(cls, home: Path) -> Path:
        try:
            path = home.expanduser().absolute()
        except RuntimeError:
            raise ValueError(f"{str(home)!r} begins with a user that is not known here") from None
        if odd := sorted(set(str(path)) - PATH_CHARACTERS):
            raise ValueError(
                f"{str(path)!r} has {''.join(odd)!r} in it, and Spark in this process (Sail) "
                "cannot write tables under such a path; use letters, digits and ._-"
            )
        return path

    @field_validator("storepipe_api_url", "storepipe_dagster_url")
    @classmethod
    def _base_url(cls, url: str | None) -> str | None:
        if url is None:
            return None
        address = _web_address(url)
        if "@" in address.netloc:
            raise ValueError("holds a user name or password, which cannot be used here")
        if address.query or address.fragment:
            raise ValueError("holds a query (after ? or #), a token maybe: give what is before it")
        return url.rstrip("/?#")

    @field_validator("storepipe_webhook_url")
    @classmethod
    def _secret_address(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _web_address(url.get_secret_value())
        return url

    @field_validator("storepipe_start_date")
    @classmethod
    def _of_our_time(cls, day: date) -> date:
        if not date(1970, 1, 1) <= day < date(2200, 1, 1):
            raise ValueError("is not a day from 1970 to 2199")
        return day

    @field_validator("storepipe_day_deadline")
    @classmethod
    def _utc(cls, deadline: time) -> time:
        if deadline.tzinfo is not None:
            raise ValueError("is a time of day in UTC, such as 04:00, without an offset")
        return deadline

    @field_validator("azure_storage_connection_string")
    @classmethod
    def _names_an_account(cls, text: SecretStr | None) -> SecretStr | None:
        if text is not None:
            StorageAccount.from_connection_string(text.get_secret_value())
        return text

    @field_validator("azure_storage_account_name")
    @classmethod
    def _is_an_account(cls, name: str | None) -> str | None:
        if name is not None:
            StorageAccount.named(name)
        return name

    @field_validator("databricks_host")
    @classmethod
    def _workspace_url(cls, host: str | None) -> str | None:
        if host is None or "://" in host:
            return host and host.rstrip("/")
        return f"https://{host}".rstrip("/")

    @field_validator("databricks_staging")
    @classmethod
    def _staging_area(cls, path: str | None) -> str | None:
        if path is None:
            return None
        path = path.replace("dbfs:/Volumes/", "/Volumes/").rstrip("/")  # Databricks has both
        if not STAGING.fullmatch(path):
            raise ValueError("is neither dbfs:/FOLDER nor /Volumes/CATALOG/SCHEMA/VOLUME")
        return path

    @field_validator("databricks_workers")
    @classmethod
    def _number_or_range(cls, workers: str) -> str:
        least, dash, most = workers.partition("-")
        if dash and not int(least) < int(most):
            raise ValueError("begins with the larger number")
        return workers

    @model_validator(mode="after")
    def _one_login(self) -> "Settings":
        principal = self.databricks_client_id or self.databricks_client_secret
        if self.databricks_token and principal and self.dagster_deployment == "databricks":
            raise SettingsError(
                "DATABRICKS_TOKEN and a service principal (DATABRICKS_CLIENT_ID, "
                "DATABRICKS_CLIENT_SECRET) are both set, and Databricks takes one login only: "
                "unset one of them."
            )
        return self

    @property
    def on_cluster(self) -> bool:
        """Whether this process runs on Databricks, as the far end of a step launcher."""
        return self.databricks_runtime_version is not None

    @property
    def cluster_secrets(self) -> list[str]:
        """The variables with which a cluster opens the lake, and which it takes from its scope."""
        if self.azure_storage_connection_string is None:
            return [*SERVICE_PRINCIPAL]
        text = self.azure_storage_connection_string.get_secret_value()
        account = StorageAccount.from_connection_string(text)
        opened = account.key or account.sas
        return [CONNECTION_STRING] if opened else [CONNECTION_STRING, *SERVICE_PRINCIPAL]

    @property
    def dagster_home(self) -> Path:
        """The folder in which Dagster keeps the history of runs."""
        return self.storepipe_home / "dagster"

    def missing(self) -> list[str]:
        """The variables that the chosen deployment needs and that are unset."""
        if self.dagster_deployment == "local":
            return []
        launching = self.dagster_deployment == "databricks" and not self.on_cluster
        needed = [] if self.on_cluster else [*MYSQL]
        needed += ["databricks_host", "databricks_staging"] if launching else []
        unset = [name.upper() for name in needed if getattr(self, name) is None]
        if not (self.azure_storage_connection_string or self.azure_storage_account_name):
            unset.append("AZURE_STORAGE_CONNECTION_STRING or AZURE_STORAGE_ACCOUNT_NAME")
        login = self.databricks_token or (
            self.databricks_client_id and self.databricks_client_secret
        )
        if launching and not login:
            unset.append("DATABRICKS_TOKEN or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET")
        return unset


def _web_address(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        # A port or a host that is none raises only when it is asked for, or looked up.
        named = parts.port != 0 and parts.hostname and parts.hostname.encode("idna")
        usable = parts.scheme in {"http", "https"} and named and url.isprintable()
    except ValueError:  # whose message shows the address
        usable = None
    if not usable or " " in url:
        raise ValueError("is not an http:// or https:// address")
    return parts


def read_settings(**overrides: Any) -> Settings:
    """Read the settings from the environment and ``.env``; raises ``SettingsError``."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(problem) for problem in error.errors())) from None
    expect_known_names(dotenv_values(Path(".env")))
    if unset := settings.missing():
        remedy = "set it in the environment or in .env (see .env.example)."
        if settings.on_cluster:
            remedy = (
                "this cluster has it neither from the secret scope in DATABRICKS_SECRET_SCOPE, "
                "which is set where Dagster runs, nor in its own environment."
            )
        raise SettingsError(
            f"DAGSTER_DEPLOYMENT={settings.dagster_deployment} needs {', '.join(unset)}: {remedy}"
        )
    return settings


def expect_known_names(variables: Collection[str]) -> None:
    """Raise ``SettingsError`` for a name that is ours, or nearly, and that nothing reads."""
    known = {name.upper() for name in Settings.model_fields} | READ_BY_OTHERS
    for name in sorted(name for name in variables if name.upper() not in known):
        near = get_close_matches(name.upper(), known, 1, NEARLY)
        if near or name.upper().startswith(OURS):
            hint = f": did you mean {near[0]}?" if near else ". See .env.example for what there is."
            raise SettingsError(f".env sets {name}, which is no setting{hint}")


def _explain(problem: Any) -> str:
    name = str(problem["loc"][0]).upper()
    reason = problem["msg"].removeprefix("Value error, ")
    return f"{name} cannot be used: {reason}. See .env.example for what it may be."


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return read_settings()
