"""Tests of `storepipe_dagster.resources.databricks.run_request`."""

from dataclasses import replace

import pytest

from storepipe_dagster.resources.databricks.run_request import NewCluster, run_request

TAGS = {
    "assets": "trusted/sales",
    "days": "2020-01-01 to 2020-12-31",
    "dagster_run": "f00d",
    "dagster_job": "store_pipeline",
}
SMALL = NewCluster(spark_version="18.x-scala2.13", node_type="Standard_D4ds_v5", workers="0")


def new_cluster(**settings):
    cluster = replace(SMALL, **settings)
    return run_request(cluster, TAGS, "a", 60)["cluster"]["new"]


def test_a_run_is_named_after_its_assets_its_days_and_its_dagster_run():
    assert run_request("0101-abc", TAGS, "a", 60) == {
        "run_name": "storepipe trusted/sales 2020-01-01 to 2020-12-31 (Dagster run f00d)",
        "cluster": {"existing": "0101-abc"},
        "install_default_libraries": False,
        "timeout_seconds": 60,
        "idempotency_token": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    }


def test_the_same_attempt_has_the_same_token_and_another_one_another():
    def token(attempt):
        return run_request(SMALL, TAGS, attempt, 60)["idempotency_token"]

    assert token("run step 0") == token("run step 0") != token("run step 1")
    assert len(token("run step 0")) <= 64


def test_a_single_node_has_no_workers_and_says_so():
    cluster = new_cluster(workers="0")
    assert cluster["size"] == {"num_workers": 0}
    assert cluster["spark_conf"]["spark.master"] == "local[*]"
    assert cluster["custom_tags"]["ResourceClass"] == "SingleNode"


@pytest.mark.parametrize(
    ("workers", "size"),
    [
        ("3", {"num_workers": 3}),
        ("2-8", {"autoscale": {"min_workers": 2, "max_workers": 8}}),
    ],
)
def test_workers_are_a_number_or_a_range(workers, size):
    cluster = new_cluster(workers=workers)
    assert cluster["size"] == size
    assert "spark_conf" not in cluster


def test_a_cluster_is_dedicated_and_tagged():
    cluster = new_cluster(workers="3", single_user_name="ana@example.com")
    assert cluster == {
        "spark_version": "18.x-scala2.13",
        "nodes": {"node_types": {"node_type_id": "Standard_D4ds_v5"}},
        "size": {"num_workers": 3},
        "data_security_mode": "SINGLE_USER",
        "single_user_name": "ana@example.com",
        "custom_tags": {
            "storepipe_assets": "trusted/sales",
            "storepipe_days": "2020-01-01 to 2020-12-31",
            "storepipe_dagster_run": "f00d",
            "storepipe_dagster_job": "store_pipeline",
        },
    }


def test_a_pool_gives_the_nodes_and_a_policy_is_named():
    cluster = new_cluster(instance_pool_id="pool-1", policy_id="policy-1")
    assert cluster["nodes"] == {"instance_pool_id": "pool-1"}
    assert cluster["policy_id"] == "policy-1"


def test_long_names_are_cut():
    tags = {**TAGS, "assets": "x" * 5000}
    request = run_request(SMALL, tags, "a", 60)
    assert len(request["run_name"]) == 4000
    assert len(request["cluster"]["new"]["custom_tags"]["storepipe_assets"]) == 255
