"""What is submitted: what is refused, and what is the same run."""

import pytest
from databricks.sdk.errors import InvalidParameterValue, ResourceDoesNotExist
from databricks.sdk.service import jobs

from storepipe_dagster_tests.servers.databricks.runs import SUCCEEDED
from storepipe_dagster_tests.servers.test_databricks.asking import NEW_CLUSTER, finish, submit


def test_the_same_token_is_the_same_run(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    before = workspace.launches
    first = submit(client, "print(1)", idempotency_token="once")
    assert submit(client, "print(2)", idempotency_token="once") == first
    assert workspace.launches == before + 1
    finish(workspace, first)


@pytest.mark.parametrize(
    ("task", "told"),
    [
        ({}, "must be specified"),
        ({"new_cluster": NEW_CLUSTER, "existing_cluster_id": "x"}, "must be specified"),
        ({"existing_cluster_id": "1125-x"}, "Cluster 1125-x does not exist"),
        ({"new_cluster": {"num_workers": 1, "node_type_id": "x"}}, r"new_cluster\.spark_version"),
        ({"new_cluster": NEW_CLUSTER | {"spark_version": "1.0.x"}}, "Invalid spark version"),
        (
            {"new_cluster": {"spark_version": "18.0.x-scala2.13", "num_workers": 1}},
            r"new_cluster\.node_type_id",
        ),
        (
            {"new_cluster": {"spark_version": "18.0.x-scala2.13", "node_type_id": "x"}},
            r"Missing required field: settings\.cluster_spec\.new_cluster\.size",
        ),
        ({"new_cluster": NEW_CLUSTER | {"custom_tags": {"k" * 128: ""}}}, "127 characters"),
        ({"new_cluster": NEW_CLUSTER | {"custom_tags": {"k": "v" * 256}}}, "255 characters"),
        (
            {"new_cluster": NEW_CLUSTER | {"custom_tags": {f"k{n}": "" for n in range(46)}}},
            "At most 45 custom tags",
        ),
        ({"new_cluster": NEW_CLUSTER, "spark_python_task": {"python_file": "/x.py"}}, "dbfs:/"),
    ],
)
def test_a_wrong_task_is_refused(workspace, client, task, told):
    before = workspace.launches
    python = {"spark_python_task": {"python_file": "dbfs:/x.py"}}
    given = jobs.SubmitTask.from_dict({"task_key": "one", **python, **task})
    with pytest.raises(InvalidParameterValue, match=told):
        client.jobs.submit(tasks=[given])
    assert workspace.launches == before


def test_a_policy_may_bring_what_a_cluster_lacks(workspace, client):
    workspace.scripted.append(SUCCEEDED)
    run_id = submit(client, "", cluster={"new_cluster": {"policy_id": "ABC"}})
    assert finish(workspace, run_id).result_state == "SUCCESS"


@pytest.mark.parametrize("settings", [{"idempotency_token": "t" * 65}, {"run_name": "n" * 4097}])
def test_names_have_limits(client, settings):
    with pytest.raises(InvalidParameterValue, match="at most"):
        submit(client, "", **settings)


def test_an_unknown_run_is_missing(client):
    with pytest.raises(ResourceDoesNotExist, match=r"Run 12 does not exist\."):
        client.jobs.get_run(12)
    with pytest.raises(InvalidParameterValue):
        client.jobs.cancel_run(12)


def test_a_script_that_is_not_there_fails_the_run(workspace, client):
    task = {"task_key": "lost", "spark_python_task": {"python_file": "dbfs:/lost.py"}}
    given = jobs.SubmitTask.from_dict({**task, "new_cluster": NEW_CLUSTER})
    run = finish(workspace, client.jobs.submit(tasks=[given]).run_id)
    assert run.state_message.startswith("Cannot read the python file dbfs:/lost.py.")
    assert run.process_id is None
