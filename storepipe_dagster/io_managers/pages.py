"""Web pages, each replaced whole."""

import dagster as dg

from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError

FILE = "index.html"


class PageIOManager(dg.ConfigurableIOManager):
    """Writes HTML text as ``index.html`` of the asset's folder."""

    lake: dg.ResourceDependency[Lake]

    def handle_output(self, context: dg.OutputContext, obj: str) -> None:
        """Write the page."""
        path = self.lake.path(context.asset_key, FILE)
        page = obj.encode()
        with self.lake.write(path) as file:
            file.write(page)
        context.add_output_metadata({"path": dg.MetadataValue.path(path), "size_bytes": len(page)})

    def load_input(self, context: dg.InputContext) -> str:
        """Read the page; raises ``MissingUpstreamError``."""
        path = self.lake.path(context.asset_key, FILE)
        if not self.lake.files.exists(path):
            raise MissingUpstreamError(context.asset_key)
        text: str = self.lake.files.cat_file(path).decode()
        return text
