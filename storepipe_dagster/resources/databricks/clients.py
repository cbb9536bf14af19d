"""dagster-databricks' client with less patience, and with files in Unity Catalog volumes.

dagster-databricks stages on DBFS, whose API refuses volumes; the Files API serves them. On the
cluster a volume is a folder of the same path.
"""

import base64
import io
from typing import IO

import requests
from dagster_databricks.databricks import DatabricksClient, DatabricksJobRunner
from dagster_databricks.version import __version__
from databricks.sdk import WorkspaceClient
from databricks.sdk._base_client import _BaseClient
from databricks.sdk.core import Config, pat_auth
from databricks.sdk.credentials_provider import (
    OAuthCredentialsProvider,
    OauthCredentialsStrategy,
)
from databricks.sdk.oauth import ClientCredentials, Token, get_workspace_endpoints

from storepipe_dagster.resources.databricks.endings import (
    REFUSALS,
    LoginError,
    LoginRefusedError,
)

VOLUMES = "/Volumes/"
# For how long the SDK repeats one call; Dagster and we start again, and tell, after that.
RETRY_SECONDS = 60
# The beginning of what the SDK's ValueError says of a login that is refused, not unreachable.
REFUSED_LOGIN = ("invalid_", "unauthorized", "access_denied")


class Tokens(ClientCredentials):
    """The access tokens of a service principal."""

    def refresh(self) -> Token:
        """Get a new one; raises ``LoginError`` and ``LoginRefusedError``."""
        try:
            return super().refresh()
        except requests.RequestException:
            raise
        # The second is what the SDK makes of an answer that is no token.
        except (ValueError, NotImplementedError) as error:
            refused = str(error).startswith(REFUSED_LOGIN)
            raise (LoginRefusedError if refused else LoginError)(str(error)) from None


def service_principal(config: Config) -> OAuthCredentialsProvider:
    """The SDK's login of that name, which asks for five minutes where tokens are to be had."""
    asking = _BaseClient(retry_timeout_seconds=RETRY_SECONDS)
    try:
        endpoints = get_workspace_endpoints(config.host, asking)
    except REFUSALS as error:
        raise LoginRefusedError(str(error)) from None
    except requests.RequestException as error:  # a page for people, which is a ValueError too
        raise LoginError(str(error)) from None
    tokens = Tokens(
        client_id=config.client_id,
        client_secret=config.client_secret,
        token_url=endpoints.token_endpoint,
        scopes=["all-apis"],
        use_header=True,
    )

    def headers() -> dict[str, str]:
        token = tokens.token()
        return {"Authorization": f"{token.token_type} {token.access_token}"}

    return OAuthCredentialsProvider(headers, tokens.token)


OAUTH = OauthCredentialsStrategy("oauth-m2m", service_principal)


class ImpatientClient(DatabricksClient):
    """A client that tells after a minute that nobody answers; the SDK's own takes five."""

    def __init__(
        self,
        host: str,
        token: str | None = None,
        client_id: str | None = None,
        client_secret: str | None = None,
    ) -> None:
        """Log in; raises ``LoginError``, ``LoginRefusedError`` and what the SDK raises."""
        try:
            config = Config(
                host=host,
                token=token,
                client_id=client_id,
                client_secret=client_secret,
                credentials_strategy=OAUTH if client_id else pat_auth,
                retry_timeout_seconds=RETRY_SECONDS,
                product="dagster-databricks",
                product_version=__version__,
            )
        except ValueError as error:  # two logins at once, or none
            raise LoginRefusedError(str(error)) from None
        self.host = host
        self.workspace_id = None
        self._workspace_client = WorkspaceClient(config=config)

    def read_file(self, dbfs_path: str, block_size: int = 1 << 20) -> bytes:
        """Read a whole file; raises ``NotFound``. An empty block may lack its data."""
        path, content = dbfs_path.removeprefix("dbfs://"), b""
        while True:
            answer = self.workspace_client.dbfs.read(path, offset=len(content), length=block_size)
            block = base64.b64decode(answer.data or "")
            content += block
            if len(block) < block_size:
                return content


class VolumesClient(ImpatientClient):
    """A client whose files are in volumes."""

    def put_file(
        self, file_obj: IO[bytes], dbfs_path: str, overwrite: bool = False, block_size: int = 0
    ) -> None:
        """Write a file; its folder must be there."""
        del block_size
        content = io.BytesIO(file_obj.read())
        self.workspace_client.files.upload(dbfs_path, content, overwrite=overwrite)

    def read_file(self, dbfs_path: str, block_size: int = 0) -> bytes:
        """Read a whole file; raises ``NotFound``."""
        del block_size
        contents = self.workspace_client.files.download(dbfs_path).contents
        if contents is None:
            return b""
        with contents:
            return contents.read()


class JobRunner(DatabricksJobRunner):
    """dagster-databricks' job runner, with a client of ours."""

    def __init__(self, client: ImpatientClient) -> None:
        """Its own would log in by itself, with the SDK's patience."""
        self._client = client
