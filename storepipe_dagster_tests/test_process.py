"""Tests of `storepipe_dagster.process`."""

import logging
import os

import pytest

from storepipe_dagster.process import (
    prepare_process,
    reach_loopback_directly,
    without_addresses,
)

LOOPBACK = "localhost,127.0.0.1,::1"


@pytest.mark.parametrize(
    ("environment", "names"),
    [
        ({}, LOOPBACK),
        ({"no_proxy": ""}, LOOPBACK),
        ({"no_proxy": "intranet.example"}, f"intranet.example,{LOOPBACK}"),
        ({"NO_PROXY": "a.example, b.example"}, f"a.example,b.example,{LOOPBACK}"),
        ({"no_proxy": "127.0.0.1,x", "NO_PROXY": "y"}, "127.0.0.1,x,localhost,::1"),
        ({"no_proxy": "*"}, "*"),
    ],
)
def test_this_machine_is_never_reached_by_a_proxy(environment, names):
    reach_loopback_directly(environment)
    assert environment == {"no_proxy": names, "NO_PROXY": names}


def test_new_files_are_the_owners_only(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "environ", {})
    before = os.umask(0o022)
    try:
        prepare_process()
        (tmp_path / "folder").mkdir()
        (tmp_path / "folder" / "file").write_text("")
    finally:
        os.umask(before)
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "folder" / "file").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("level", [logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR])
def test_addresses_in_a_librarys_log_lose_what_may_be_a_signature(level):
    text = 'http://lake:443 "GET /raw?sv=1&sig=%s HTTP/1.1" 200'
    record = logging.LogRecord("urllib3", level, "", 0, text, ("hunter2",), None)
    assert without_addresses(record) == (level >= logging.WARNING)
    assert record.getMessage() == 'http://lake:443 "GET /raw?... HTTP/1.1" 200'
