"""What IO managers share: Spark, the column of days in a step's context, errors that explain."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, Protocol, TypeVar

import dagster as dg

from storepipe_dagster.io_managers.lake import PARTITION_COLUMN

P = ParamSpec("P")
Result = TypeVar("Result")


class SparkResource(Protocol):
    """What has a Spark session, or makes one when it is asked for it."""

    @property
    def spark_session(self) -> Any:
        """The session."""


def explained(method: Callable[P, Result]) -> Callable[P, Result]:
    """Let the lake of an IO manager explain what fails in a method of it."""

    @wraps(method)
    def explaining(*arguments: P.args, **options: P.kwargs) -> Result:
        manager: Any = arguments[0]
        with manager.lake.explained():
            return method(*arguments, **options)

    return explaining


def partition_column(context: dg.InputContext | dg.OutputContext) -> str | None:
    """The column that an asset is partitioned by, from its metadata."""
    upstream = context.upstream_output if isinstance(context, dg.InputContext) else context
    return (upstream.definition_metadata if upstream else {}).get(PARTITION_COLUMN)
