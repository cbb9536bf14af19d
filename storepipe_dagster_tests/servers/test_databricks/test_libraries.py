"""The libraries of runs."""

import io
from pathlib import Path

from databricks.sdk.service import jobs

from storepipe_dagster_tests.servers.test_databricks.asking import STAGING, finish, submit


def test_libraries_are_installed(workspace, client):
    library = {"pypi": {"package": "six==1.16.0"}}
    script = "import six; print(six.__version__, six.__file__)"
    run = finish(workspace, submit(client, script, libraries=[library]))
    version, file = run.stdout.split()
    assert version == "1.16.0"
    assert Path(file).is_relative_to(run.environment.parents[1])
    assert run.libraries == ["six==1.16.0"]
    assert run.missing == []


def test_what_libraries_need_is_not_installed_but_told(workspace, client):
    client.files.upload(
        f"{STAGING}/requirements.txt", io.BytesIO(b"python-dateutil==2.9.0\ncoloredlogs==15.0\n")
    )
    library = {"requirements": f"{STAGING}/requirements.txt"}
    run = finish(workspace, submit(client, "import coloredlogs", libraries=[library]))
    assert run.libraries == ["coloredlogs==15.0", "python-dateutil==2.9.0"]
    assert run.missing == ["humanfriendly"]
    assert run.error == "ModuleNotFoundError: No module named 'humanfriendly'"


def test_a_library_that_is_not_there_fails_the_run(workspace, client):
    library = {"pypi": {"package": "six==0.0.999"}}
    run_id = submit(client, "print('never')", libraries=[library])
    run = finish(workspace, run_id)
    told = client.jobs.get_run(run_id)
    assert told.state.life_cycle_state is jobs.RunLifeCycleState.INTERNAL_ERROR
    assert told.state.result_state is jobs.RunResultState.FAILED
    details = told.status.termination_details
    assert details.code is jobs.TerminationCodeCode.LIBRARY_INSTALLATION_ERROR
    assert 'package: "six==0.0.999"' in details.message
    assert run.process_id is None
