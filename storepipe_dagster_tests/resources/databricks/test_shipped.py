"""Tests of `storepipe_dagster.resources.databricks.shipped`."""

import io
import re
import subprocess
import zipfile
from importlib.metadata import requires, version
from pathlib import Path

import tomli
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from storepipe_dagster.resources.databricks import shipped
from storepipe_dagster.resources.databricks.shipped import code_zip, libraries

ROOT = Path(__file__).parents[3]
ON_THE_CLUSTER = {
    **default_environment(),
    "platform_machine": "x86_64",
    "platform_system": "Linux",
    "python_full_version": "3.12.3",
    "python_version": "3.12",
    "sys_platform": "linux",
}


def test_the_zip_holds_exactly_the_files_of_the_package_that_git_knows():
    with zipfile.ZipFile(io.BytesIO(code_zip())) as archive:
        shipped = set(archive.namelist())
        same = all(archive.read(name) == (ROOT / name).read_bytes() for name in shipped)
    known = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "storepipe_dagster"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert shipped == set(known.stdout.split())
    assert same


def test_nothing_beside_the_package_is_shipped():
    with zipfile.ZipFile(io.BytesIO(code_zip())) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"storepipe_dagster"}
    assert [
        name for name in names if re.search(r"\.env|\.git|\.pyc|tests|\.db|\.parquet", name)
    ] == []


def test_the_same_code_makes_the_same_zip():
    assert code_zip() == code_zip()


def test_each_library_is_pinned_to_the_version_of_the_lock_file():
    lock = (ROOT / "requirements.lock").read_text()
    pins = set(re.findall(r"^([\w.\-]+)(?:\[[\w,\-]+\])?==([^\s;]+)", lock, re.MULTILINE))
    ours = [tuple(library["pypi"]["package"].split("==")) for library in libraries()]
    assert {"dagster", "dagster-databricks", "deltalake"} <= {name for name, _ in ours}
    assert [pin for pin in ours if pin not in pins] == []


def test_the_file_of_the_libraries_has_a_hash_for_each_and_no_download_address():
    text = shipped.requirements()
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]

    assert len(entries) == len(libraries()) > 50
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text


def test_the_cluster_gets_all_that_its_group_needs_and_nothing_else():
    project = tomli.loads((ROOT / "pyproject.toml").read_text())
    names = {library["pypi"]["package"].split("==")[0] for library in libraries()}
    assert names == needed_by(project["dependency-groups"]["cluster"])


def needed_by(wanted):
    """These distributions and what they need on the cluster, as those that are installed tell."""
    seen, waiting = set(), [Requirement(line) for line in wanted]
    while waiting:
        requirement = waiting.pop()
        for extra in {"", *requirement.extras}:
            found = canonicalize_name(requirement.name), extra
            if found not in seen:
                seen.add(found)
                there = {**ON_THE_CLUSTER, "extra": extra}
                needs = map(Requirement, requires(requirement.name) or [])
                waiting += [one for one in needs if not one.marker or one.marker.evaluate(there)]
    return {name for name, _ in seen}


def test_the_cluster_gets_nothing_that_it_does_not_import():
    names = {library["pypi"]["package"].split("==")[0] for library in libraries()}
    assert names.isdisjoint(
        {"storepipe-dagster", "pysail", "dagster-webserver", "pytest", "vl-convert-python"}
    )


def test_spark_is_pinned_as_dagster_pyspark_would_bring_the_newest():
    assert {"pypi": {"package": f"pyspark=={version('pyspark')}"}} in libraries()


def test_hidden_files_in_the_package_stay_at_home(monkeypatch, tmp_path):
    package = tmp_path / "storepipe_dagster"
    package.mkdir()
    for name in (".env", "settings.py", ".settings.py.swp"):
        (package / name).write_text(name)
    monkeypatch.setattr(shipped, "PACKAGE", package)
    with zipfile.ZipFile(io.BytesIO(code_zip())) as archive:
        assert archive.namelist() == ["storepipe_dagster/settings.py"]
