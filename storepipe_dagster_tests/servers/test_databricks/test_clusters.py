"""Clusters as they are described, and what they can be made of."""

import pytest
from databricks.sdk.errors import ResourceDoesNotExist
from databricks.sdk.service import compute


def test_a_cluster_is_described_or_missing(workspace, client):
    assert client.clusters.get(workspace.cluster_id).state.value == "RUNNING"
    with pytest.raises(ResourceDoesNotExist):
        client.clusters.get("1125-000000-nowhere0")


def test_a_cluster_is_what_the_test_wants(workspace, client, monkeypatch):
    monkeypatch.setitem(workspace.cluster, "data_security_mode", "USER_ISOLATION")
    cluster = client.clusters.get(workspace.cluster_id)
    assert cluster.data_security_mode is compute.DataSecurityMode.USER_ISOLATION
    assert cluster.spark_version == "18.0.x-scala2.13"


def test_runtimes_are_listed(client):
    listed = {version.key: version.name for version in client.clusters.spark_versions().versions}
    assert listed["18.x-scala2.13"] == "18 LTS (includes Apache Spark 4.1.0, Scala 2.13)"


def test_node_types_are_listed_with_what_the_cloud_has_against_them(client):
    listed = {node.node_type_id: node for node in client.clusters.list_node_types().node_types}
    assert not listed["Standard_D4ds_v5"].node_info.status
    (obstacle,) = listed["Standard_M128s"].node_info.status
    assert obstacle is compute.CloudProviderNodeStatus.NOT_AVAILABLE_IN_REGION
