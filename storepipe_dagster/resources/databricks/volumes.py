"""Staging in a Unity Catalog volume, for workspaces without DBFS (all new ones).

dagster-databricks stages on DBFS, whose API refuses volumes; the Files API serves them. On the
cluster a volume is a folder of the same path.
"""

import io
from typing import IO

from dagster_databricks.databricks import DatabricksClient

VOLUMES = "/Volumes/"


class VolumesClient(DatabricksClient):
    """dagster-databricks' client, with files in volumes."""

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
