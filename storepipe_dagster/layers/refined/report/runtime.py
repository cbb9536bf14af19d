"""The script that draws the page's charts: Vega, Vega-Lite and vega-embed in one.

To bundle it takes longer than all else of a small report, so it is kept in the user's cache, a file
per version.
"""

import contextlib
import uuid
from importlib.metadata import version
from pathlib import Path

import platformdirs

SOURCE = "window.vegaEmbed = vegaEmbed;"


def runtime() -> str:
    """The script, from the cache or newly bundled; a cache that cannot be used is done without."""
    kept = platformdirs.user_cache_path("storepipe") / f"vega-{version('vl-convert-python')}.js"
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return kept.read_text(encoding="utf-8")
    import vl_convert  # noqa: PLC0415  # slow

    bundle: str = vl_convert.javascript_bundle(SOURCE)
    with contextlib.suppress(OSError):
        _write(kept, bundle)
    return bundle


def _write(file: Path, text: str) -> None:
    """Write a file that takes its name only once it is whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_name(f".{file.name}.{uuid.uuid4().hex}")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    finally:
        unfinished.unlink(missing_ok=True)
