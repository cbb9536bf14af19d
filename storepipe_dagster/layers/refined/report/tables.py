"""What the report is made from, and what a part of its page is."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pyarrow as pa

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class RefinedTables:
    """The tables of the refined layer that the report reads, with the columns of the contract."""

    sales_by_day: pa.Table
    sales_by_category: pa.Table
    sales_by_product: pa.Table
    sales_by_city: pa.Table
    customer_segments: pa.Table
    customer_cohorts: pa.Table
    product_affinity: pa.Table


@dataclass(frozen=True)
class Section:
    """One part of the page: a finding, its chart and the same numbers as a table.

    `kind` names the chart in `charts.KINDS`; without one the section is its texts and `blocks`,
    which the template knows by the section's name.
    """

    name: str
    topic: str
    title: str
    subtitle: str
    kind: str | None = None
    rows: Sequence[Row] = ()
    head: Sequence[str] = ()
    body: Sequence[Sequence[str]] = ()
    blocks: Sequence[Row] = field(default=())
