"""Which tests run on one worker of `pytest --dist loadscope`, and in which order.

Tests that share something expensive stay together: a server, a demo, a JVM that is warm by then.
What takes longest starts first, so that no worker is left with it alone in the end.
"""

from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

CLASSIC_SPARK = "classic_spark"
TOGETHER = {
    "doctor/test_mysql": "databases",
    "resources/test_database": "databases",
    "resources/test_mysql": "databases",
    "resources/test_mysql_bulk": "databases",
    "servers/test_servers": "databases",
    "operated/test_backfills": "end_to_end/dagster",
    "end_to_end/test_commands": "end_to_end/demo",
    "operated/test_daemon": "end_to_end/dagster",
    "end_to_end/test_demo": "end_to_end/demo",
    "end_to_end/test_history": "end_to_end/demo",
    "operated/test_in_the_browser": "end_to_end/dagster",
    "end_to_end/test_what_the_ui_shows": "end_to_end/demo",
    "trusted/test_classic_api": CLASSIC_SPARK,
}
ALONE = (
    "end_to_end/test_every_write",
    "end_to_end/test_killed_run",
    "end_to_end/test_service_faults",
    "end_to_end/test_faulty_store",
)
LONGEST_FIRST = (
    "end_to_end/test_databricks",
    "databases",
    "end_to_end/demo azure",
    "end_to_end/dagster",
    "end_to_end/test_real_data azure",
    CLASSIC_SPARK,
    "production/test_services",
    "end_to_end/",
    "io_managers/test_azure_faults",
)


def group_of(test: str) -> str:
    """The tests of one group run on one worker, one after the other."""
    path, _, name = test.partition("::")
    module = "/".join(PurePath(path).with_suffix("").parts[-2:])
    parameters = name.partition("[")[2].rstrip("]").split("-")
    if CLASSIC_SPARK in parameters:
        return CLASSIC_SPARK
    if module in ALONE:
        return test
    deployment = parameters[0] if parameters[0] in {"local", "azure"} else ""
    return f"{TOGETHER.get(module, module)} {deployment}".rstrip()


def rank(group: str) -> int:
    """The place of a group among the others, which stay in their order otherwise."""
    places = (place for place, name in enumerate(LONGEST_FIRST) if name in group)
    return next(places, len(LONGEST_FIRST))


class GroupScheduling(LoadScopeScheduling):
    """Gives each worker a group of tests at a time."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling | None:
    """Put our groups in the place of xdist's, which are modules."""
    if config.getvalue("dist") != "loadscope":
        return None
    config.option.loadscopereorder = False  # ours is the order
    return GroupScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Sort the tests by group once pytest has sorted them by the parameters of fixtures."""
    yield
    groups: dict[str, list[pytest.Item]] = {}
    for item in items:
        groups.setdefault(group_of(item.nodeid), []).append(item)
    items[:] = [item for group in sorted(groups, key=rank) for item in groups[group]]
