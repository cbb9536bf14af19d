"""The script that draws the page's charts: Vega, Vega-Lite and vega-embed in one.

To bundle it takes longer than all else of a small report, so it is kept in the user's cache, a file
per version.
"""

import contextlib
from importlib.metadata import version

import platformdirs

from storepipe_dagster.atomic_files import write_atomically

SOURCE = "window.vegaEmbed = vegaEmbed;"


def runtime() -> str:
    """The script, from the cache or newly bundled; a cache that cannot be used is done without."""
    kept = platformdirs.user_cache_path("storepipe") / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    import vl_convert  # noqa: PLC0415  # slow

    bundle: str = vl_convert.javascript_bundle(SOURCE)
    with contextlib.suppress(OSError):
        write_atomically(kept, bundle)
    return bundle
