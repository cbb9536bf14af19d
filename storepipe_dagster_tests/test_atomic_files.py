"""Tests of `storepipe_dagster.atomic_files`: what is there at each moment is whole."""

import os
from pathlib import Path

import pytest

from storepipe_dagster import atomic_files
from storepipe_dagster.atomic_files import write_atomically


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_a_file_is_written_in_a_folder_that_is_made(tmp_path):
    write_atomically(tmp_path / "new" / "folder" / "file", "é\n")
    assert contents(tmp_path / "new" / "folder") == {"file": "é\n"}


def test_a_file_is_replaced(tmp_path):
    (tmp_path / "file").write_text("before, and longer")
    write_atomically(tmp_path / "file", "after")
    assert contents(tmp_path) == {"file": "after"}


@pytest.mark.parametrize("before", [{}, {"file": "before"}])
@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch, before, failing):
    def fail(*_):
        raise OSError(28, "No space left on device")

    for name, text in before.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(os if failing == "fsync" else Path, failing, fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(tmp_path / "file", "after")
    assert contents(tmp_path) == before


def test_content_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path, monkeypatch):
    happened = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor):
        kind = "folder" if Path(f"/dev/fd/{descriptor}").resolve() == tmp_path else "file"
        happened.append(f"fsync of the {kind}")
        fsync(descriptor)

    def noted_replace(path, target):
        happened.append(f"named {Path(target).name}")
        replace(path, target)

    monkeypatch.setattr(atomic_files.os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_atomically(tmp_path / "name", "text")
    assert happened == ["fsync of the file", "named name", "fsync of the folder"]
