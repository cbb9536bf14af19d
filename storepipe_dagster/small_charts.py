"""Charts small enough to be shown in line on an asset's page, drawn without a library.

Dagster's UI shows Markdown of less than 1,000 characters at once, and longer one at the press of a
button; and a Spark step on a cluster has no Vega. The charts of the report, which do need it, are
in ``layers.refined.report``. Pure: an Arrow table in, SVG out.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.compute as pc

CHART = "chart"  # its name in an asset's metadata: first what is drawn, then the drawing
BARS, POINTS = 5, 60
AND = " + "
LONGEST_LABEL = 16
LINE_WIDTH, LINE_HEIGHT, BAR_HEIGHT, LONGEST_BAR, BARS_START = 300, 60, 18, 200, 120
STROKE = "stroke='#0b63b0'"


def chart_of(
    kind: Literal["bars", "line"], label: str, value: str | None = None
) -> dict[str, dict[str, str]]:
    """Metadata that says what to draw of a table: the sum of a column by another; or the rows.

    Bars are the largest five, and may have a label of two columns, as ``a + b``. A line is the last
    sixty in the order of the labels.
    """
    return {CHART: {"kind": kind, "label": label} | ({"value": value} if value else {})}


def columns_drawn(chart: Mapping[str, str]) -> list[str]:
    """The columns that a chart needs."""
    return [*chart["label"].split(AND), *([chart["value"]] if "value" in chart else [])]


def title(chart: Mapping[str, str]) -> str:
    """What a chart shows, in words."""
    return f"{chart.get('value', 'rows')} by {chart['label']}"


def draw(chart: Mapping[str, str], rows: pa.Table) -> str | None:
    """Draw a chart as SVG; nothing if there are no rows."""
    if not rows.num_rows:
        return None
    totals = _totals(rows, chart["label"].split(AND), chart.get("value"))
    return (_bars if chart["kind"] == "bars" else _line)(totals)


def _totals(rows: pa.Table, by: list[str], value: str | None) -> list[tuple[Any, float]]:
    measure, how = (value, "sum") if value else (by[0], "count")
    grouped = rows.group_by(by).aggregate([(measure, how)])
    labels: Iterable[Any] = zip(*(grouped[name].to_pylist() for name in by), strict=True)
    labels = [label[0] if len(label) == 1 else AND.join(map(str, label)) for label in labels]
    sums = pc.cast(grouped[f"{measure}_{how}"], pa.float64()).to_pylist()
    return list(zip(labels, sums, strict=True))


def _bars(totals: Sequence[tuple[Any, float]]) -> str:
    largest = sorted(totals, key=lambda total: (-(total[1] or 0), str(total[0])))[:BARS]
    most = max(largest[0][1] or 0, 0)
    path, texts = "", ""
    for number, (label, value) in enumerate(largest):
        middle = number * BAR_HEIGHT + BAR_HEIGHT // 2
        length = round(LONGEST_BAR * max(value or 0, 0) / most) if most else 0
        path += f"M{BARS_START} {middle}h{length}"
        texts += _text(0, middle + 4, _shortened(str(label)))
        texts += _text(BARS_START + length + 5, middle + 4, _compact(value or 0))
    drawn = f"<path {STROKE} stroke-width='12' d='{path}'/>{texts}"
    return _svg(BARS_START + LONGEST_BAR + 60, BAR_HEIGHT * len(largest), drawn)


def _line(totals: Sequence[tuple[Any, float]]) -> str:
    points = sorted(totals, key=lambda total: (total[0] is not None, total[0]))[-POINTS:]
    most = max(0, *(value or 0 for _, value in points))
    places = [
        (
            round(LINE_WIDTH * number / max(1, len(points) - 1)),
            LINE_HEIGHT - round((LINE_HEIGHT - 16) * (value or 0) / (most or 1)),
        )
        for number, (_, value) in enumerate(points)
    ]
    steps = " ".join(
        f"{x - before_x} {y - before_y}" for (before_x, before_y), (x, y) in pairwise(places)
    )
    drawn = (
        f"<path fill='none' {STROKE} d='M{places[0][0]} {places[0][1]}l{steps or '1 0'}'/>"
        + _text(0, 11, f"up to {_compact(most)}")
        + _text(0, LINE_HEIGHT + 15, str(points[0][0]))
        + _text(LINE_WIDTH, LINE_HEIGHT + 15, str(points[-1][0]), " text-anchor='end'")
    )
    return _svg(LINE_WIDTH, LINE_HEIGHT + 20, drawn)


def _svg(width: int, height: int, drawn: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width}' height='{height}' "
        f"style='background:#fff;font:12px sans-serif'>{drawn}</svg>"
    )


def _text(x: int, y: int, text: str, more: str = "") -> str:
    return f"<text x='{x}' y='{y}'{more}>{escape(text)}</text>"


def _shortened(label: str) -> str:
    return label if len(label) <= LONGEST_LABEL else f"{label[: LONGEST_LABEL - 1]}…"


def _compact(value: float) -> str:
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.3g}"
