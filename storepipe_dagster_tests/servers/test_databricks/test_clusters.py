"""Clusters as they are described."""

import pytest
from databricks.sdk.errors import ResourceDoesNotExist


def test_a_cluster_is_described_or_missing(workspace, client):
    assert client.clusters.get(workspace.cluster_id).state.value == "RUNNING"
    with pytest.raises(ResourceDoesNotExist):
        client.clusters.get("1125-000000-nowhere0")
