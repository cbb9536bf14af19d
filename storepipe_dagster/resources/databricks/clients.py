"""dagster-databricks' client with less patience, and with files in Unity Catalog volumes.

dagster-databricks stages on DBFS, whose API refuses volumes; the Files API serves them. On the
cluster a volume is a folder of the same path.
"""

import io
from typing import IO

from dagster_databricks.databricks import DatabricksClient
from databricks.sdk import WorkspaceClient

VOLUMES = "/Volumes/"
# For how long the SDK repeats one call; Dagster and we start again, and tell, after that.
RETRY_SECONDS = 60


class ImpatientClient(DatabricksClient):
    """A client that tells after a minute that nobody answers; the SDK's own takes five."""

    def __init__(self, client: DatabricksClient) -> None:
        """With the login of another client."""
        config = client.workspace_client.config
        config.retry_timeout_seconds = RETRY_SECONDS
        self.host = client.host
        self.workspace_id = client.workspace_id
        self._workspace_client = WorkspaceClient(config=config)


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
