"""Tests of `storepipe_dagster.layers.refined.report.runtime`."""

import pytest
import vl_convert

from storepipe_dagster.layers.refined.report.runtime import runtime


@pytest.fixture
def bundles(monkeypatch):
    """What was asked to be bundled; each bundle has a number."""
    asked = []

    def bundle(source):
        asked.append(source)
        return f"{source} // bundle {len(asked)}, é"

    monkeypatch.setattr(vl_convert, "javascript_bundle", bundle)
    return asked


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """A cache folder of the test's own, not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


def test_the_script_is_bundled_once_and_then_read(bundles, cache):
    assert runtime() == runtime() == "window.vegaEmbed = vegaEmbed; // bundle 1, é"
    assert len(bundles) == 1
    [kept] = (cache / "storepipe").iterdir()
    assert kept.name.startswith("vega-")


def test_another_version_is_bundled_anew(bundles, cache, monkeypatch):
    runtime()
    monkeypatch.setattr("storepipe_dagster.layers.refined.report.runtime.version", lambda _: "99.0")
    assert runtime().endswith("// bundle 2, é")
    assert (cache / "storepipe" / "vega-99.0.js").exists()


def test_a_cache_that_cannot_be_used_is_done_without(bundles, cache):
    cache.write_text("no folder")
    assert runtime().endswith("// bundle 1, é")
    assert runtime().endswith("// bundle 2, é")


def test_a_cache_that_is_no_text_is_written_again(bundles, cache):
    runtime()
    [kept] = (cache / "storepipe").iterdir()
    kept.write_bytes(b"\xff\xfe\xff")
    assert runtime() == runtime()
    assert runtime().endswith("// bundle 2, é")
