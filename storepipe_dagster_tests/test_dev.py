"""Tests of `storepipe_dagster.dev`."""

import os
import signal
import subprocess
import sys

from storepipe_dagster_tests.servers.process import free_port


def test_it_ends_by_sigterm_where_a_script_started_it_in_the_background(tmp_path):
    (tmp_path / "nothing.py").write_text("import dagster as dg\n\ndefs = dg.Definitions()\n")
    process = subprocess.Popen(
        [
            *("env", "--ignore-signal=INT"),  # as shells start what is in the background
            *(sys.executable, "-m", "storepipe_dagster.dev", "--python-file", "nothing.py"),
            *("--port", str(free_port())),
        ],
        cwd=tmp_path,
        env={**os.environ, "DAGSTER_HOME": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        next(line for line in process.stdout if "Serving dagster-webserver" in line)
        process.terminate()
        process.communicate(timeout=30)
        assert process.returncode is not None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
