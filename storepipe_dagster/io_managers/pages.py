"""Web pages, each replaced whole."""

from dataclasses import dataclass

import dagster as dg

from storepipe_dagster.asset_metadata import SIZE
from storepipe_dagster.io_managers.contexts import explained
from storepipe_dagster.io_managers.lake import Lake, MissingUpstreamError

FILE = "index.html"


@dataclass(frozen=True)
class PageIOManager(dg.IOManager):
    """Writes HTML text as ``index.html`` of the asset's folder."""

    lake: Lake

    @explained
    def handle_output(self, context: dg.OutputContext, obj: str) -> None:
        """Write the page."""
        path = self.lake.path(context.asset_key, FILE)
        page = obj.encode()
        with self.lake.write(path) as file:
            file.write(page)
        address = self.lake.url(path)
        context.add_output_metadata(
            {
                "path": dg.MetadataValue.path(path),
                **({"url": dg.MetadataValue.url(address)} if address else {}),
                SIZE: len(page),
                "files": 1,
            }
        )

    @explained
    def load_input(self, context: dg.InputContext) -> str:
        """Read the page; raises ``MissingUpstreamError``."""
        try:
            page: bytes = self.lake.files.cat_file(self.lake.path(context.asset_key, FILE))
        except FileNotFoundError:
            raise MissingUpstreamError(context.asset_key) from None
        return page.decode()
