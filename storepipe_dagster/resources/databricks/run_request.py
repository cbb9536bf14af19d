"""What a launch asks of Databricks: the cluster, the name and tags of the run, its time limit.

In the form that dagster-databricks' job runner takes, which sends it to ``jobs/runs/submit``.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

NAME_LENGTH, TAG_LENGTH = 4000, 255
SINGLE_NODE = {
    "spark_conf": {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"},
    "custom_tags": {"ResourceClass": "SingleNode"},
}


@dataclass(frozen=True, kw_only=True)
class NewCluster:
    """A job cluster that Databricks makes for a run and removes after it."""

    spark_version: str
    node_type: str
    workers: str
    instance_pool_id: str | None = None
    policy_id: str | None = None
    single_user_name: str | None = None

    def request(self, tags: Mapping[str, str]) -> dict[str, Any]:
        """The cluster as the job runner takes it, in dedicated access mode."""
        least, _, most = self.workers.partition("-")
        size: dict[str, Any] = {"num_workers": int(least)}
        if most:
            size = {"autoscale": {"min_workers": int(least), "max_workers": int(most)}}
        single = SINGLE_NODE if self.workers == "0" else {"custom_tags": {}}
        cluster = {
            **single,
            "spark_version": self.spark_version,
            "nodes": {"instance_pool_id": self.instance_pool_id}
            if self.instance_pool_id
            else {"node_types": {"node_type_id": self.node_type}},
            "size": size,
            "data_security_mode": "SINGLE_USER",
            "custom_tags": {**single["custom_tags"], **_cut(tags)},
            "policy_id": self.policy_id,
            "single_user_name": self.single_user_name,
        }
        return {name: value for name, value in cluster.items() if value is not None}


def run_request(
    cluster: str | NewCluster,
    tags: Mapping[str, str],
    attempt: str,
    timeout_seconds: int,
) -> dict[str, Any]:
    """The request without task and libraries; ``attempt`` names what must be launched once only."""
    mark = mark_of(tags["dagster_run"])
    name = _shortened(f"storepipe {tags['assets']} {tags['days']}", NAME_LENGTH - len(mark))
    return {
        "run_name": name + mark,
        "cluster": {"existing": cluster}
        if isinstance(cluster, str)
        else {"new": cluster.request(tags)},
        "install_default_libraries": False,
        "timeout_seconds": timeout_seconds,
        # Sent again after a lost answer, the request finds the run that it has started.
        "idempotency_token": hashlib.sha256(attempt.encode()).hexdigest(),
    }


def mark_of(dagster_run: str) -> str:
    """How the names of all Databricks runs end that a Dagster run launches."""
    return f" (Dagster run {dagster_run})"


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {f"storepipe_{name}": _shortened(text, TAG_LENGTH) for name, text in tags.items()}


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 3]}..."
