"""The Altair charts of the store report, and the colours of its light and dark theme.

Pure: a few plain rows in, a chart out. What to show, how many rows of it and in which words is
the sections' business. A chart names no colour but a style or a range of its theme's
configuration, so that the page can draw the same chart light or dark, and no width, so that it
fits the phone and the desktop. No chart has a selection: Altair numbers them per process, and
equal input would no longer give equal bytes.
"""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

import altair as alt
import vl_convert

Rows: TypeAlias = Sequence[dict[str, object]]
Chart: TypeAlias = alt.Chart | alt.LayerChart
Spec: TypeAlias = dict[str, Any]

ABC_CLASSES = ("A", "B", "C")
BANDS_UP_TO_DAYS = 14  # each has room for its date
BARS_UP_TO_DAYS = 92  # above, a bar is thinner than its gap on a phone: draw lines
# The year below the first label and each January.
DAY_LABEL = (
    "[utcFormat(datum.value, '%-d %b'), datum.index == 0 ? utcFormat(datum.value, '%Y') : '']"
)
MONTH_LABEL = (
    "[utcFormat(datum.value, utcdate(datum.value) == 1 ? '%b' : '%-d %b'),"
    " datum.index == 0 || (utcdate(datum.value) == 1 && utcmonth(datum.value) == 0)"
    " ? utcFormat(datum.value, '%Y') : '']"
)
FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif'
SVG_WIDTH = 760
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
FINER_THAN_ANY_PIXEL = re.compile(r"(?<=\d\.\d\d)\d+")  # a third of a picture's text
TARGET = "target"  # the invisible layer that the pointer meets; the page's style knows it
TEXT_IN_CELL_FROM_PIXELS = 34

# Text has a contrast of 4.5:1 to the page at least, marks 3:1; blue, orange and grey differ in
# lightness too, for readers who do not see the colours.
LIGHT: dict[str, str] = {
    "page": "#ffffff",
    "panel": "#f4f6f8",
    "ink": "#15191f",
    "muted": "#59626f",
    "line": "#dfe3e8",
    "accent": "#0b63b0",
    "soft": "#a9c9e6",
    "second": "#c46a00",
    "third": "#7c8693",
    "low": "#eaf2f9",
    "on-low": "#15191f",
    "on-high": "#ffffff",
}
DARK: dict[str, str] = {
    "page": "#12161c",
    "panel": "#1b2129",
    "ink": "#e9edf2",
    "muted": "#a0abb9",
    "line": "#303843",
    "accent": "#62b1f6",
    "soft": "#2c5478",
    "second": "#f2a33c",
    "third": "#8590a0",
    "low": "#1c2b3a",
    "on-low": "#e9edf2",
    "on-high": "#0c1117",
}


def theme(colours: Mapping[str, str]) -> Spec:
    """Return the Vega-Lite configuration that draws every chart in these colours."""
    ink, muted, line, accent = (colours[name] for name in ("ink", "muted", "line", "accent"))
    return {
        "background": None,
        "font": FONT,
        "padding": {"left": 0, "right": 0, "top": 2, "bottom": 6},
        "view": {"stroke": None},
        "title": {
            "anchor": "start",
            "color": ink,
            "fontSize": 17,
            "fontWeight": 600,
            "limit": SVG_WIDTH,
            "offset": 14,
            "subtitleColor": muted,
            "subtitleFontSize": 13,
            "subtitlePadding": 6,
        },
        "axis": {
            "domain": False,
            "gridColor": line,
            "labelColor": muted,
            "labelFontSize": 12,
            "labelPadding": 6,
            "tickColor": line,
            "titleColor": muted,
            "titleFontSize": 12,
            "titleFontWeight": "normal",
            "titlePadding": 8,
        },
        "legend": {
            "labelColor": muted,
            "labelFontSize": 12,
            "symbolSize": 90,
            "symbolStrokeWidth": 0,
            "title": None,
        },
        "range": {
            "category": [accent, colours["second"], colours["third"]],
            "ramp": [colours["low"], accent],
        },
        "style": {
            "bar": {"color": accent},
            "faint-bar": {"color": colours["soft"]},
            "faint-line": {"color": colours["soft"], "strokeWidth": 1},
            "strong-line": {"color": accent, "strokeWidth": 2.5},
            "mean-line": {"color": ink, "strokeWidth": 2},
            "guide": {"color": muted, "strokeDash": [3, 4]},
            "guide-text": {"color": muted, "fontSize": 12},
            "target": {"color": ink, "opacity": 0},
            "name": {"color": ink, "fontSize": 13},
            "amount": {"color": muted, "fontSize": 13},
            "on-low": {"color": colours["on-low"], "fontSize": 12},
            "on-high": {"color": colours["on-high"], "fontSize": 12},
        },
    }


def revenue_over_time(rows: Rows, title: str, subtitle: str) -> Chart:
    """Draw revenue per `date`, a row per day without gaps or per month, and its `mean` if any."""
    monthly = rows[0]["unit"] == "month"
    x, middle = _time_axis(rows, monthly=monthly)
    largest = max(_number(row["revenue"]) for row in rows)
    y = alt.Y(
        "revenue:Q",
        axis=alt.Axis(
            # Seven digits take too much of a phone's width.
            format="~s" if largest >= 100_000 else ",~f",  # noqa: PLR2004
            labelExpr="datum.value == 0 ? '0' : datum.label",
            tickCount=4,
            title=None,
        ),
        scale=alt.Scale(domainMin=0, nice=True),
    )
    base = alt.Chart(_data(rows))
    tooltip = [
        alt.Tooltip("label:N", title="Month" if monthly else "Day"),
        alt.Tooltip("revenue:Q", title="Revenue", format=",.2f"),
        alt.Tooltip("carts:Q", title="Carts", format=","),
    ]
    has_mean = any(row["mean"] is not None for row in rows)
    layers: list[alt.Chart] = []
    if monthly or len(rows) <= BARS_UP_TO_DAYS:
        style = "faint-bar" if has_mean else "bar"
        layers.append(
            base.mark_bar(aria=False, style=style, binSpacing=1, cornerRadiusEnd=1).encode(x=x, y=y)
        )
    else:
        layers.append(base.mark_line(aria=False, style="faint-line").encode(x=middle, y=y))
    if has_mean:
        tooltip.append(alt.Tooltip("mean_text:N", title="Mean of 7 days"))
        line = "mean-line" if len(rows) <= BARS_UP_TO_DAYS else "strong-line"
        layers.append(base.mark_line(aria=False, style=line).encode(x=middle, y=alt.Y("mean:Q")))
    target = base.mark_rect(style="target").encode(
        x=x, y=alt.value(0), y2=alt.value("height"), tooltip=tooltip
    )
    layers.append(target.properties(name=TARGET))
    # Room on the right for half of the last label.
    padding = {"left": 0, "right": 16, "top": 2, "bottom": 6}
    return _titled(alt.layer(*layers).properties(height=260, padding=padding), title, subtitle)


def bar_list(rows: Rows, title: str, subtitle: str) -> Chart:
    """Draw a bar per row as long as its `revenue`, below its `name` and `amount` (a text).

    Names stand above the bars and not beside them: on a phone there is no beside. `tooltip` maps
    headings to texts.
    """
    headings = list(cast("Mapping[str, str]", rows[0]["tooltip"]))
    rows = [row | cast("dict[str, object]", row["tooltip"]) for row in rows]
    has_classes = "abc_class" in rows[0]
    last = alt.ExprRef(f"width - {_text_width(rows, 'amount')}{' - 20' if has_classes else ''}")
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("position:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    )
    x = alt.X("revenue:Q", axis=None, scale=alt.Scale(domainMin=0, nice=False))
    bar = base.mark_bar(aria=False, style="bar", height=9, yOffset=9, cornerRadius=2).encode(x=x)
    name = base.mark_text(
        aria=False, style="name", align="left", dy=-8, dx=20 if has_classes else 0, limit=last
    ).encode(x=alt.value(0), text="name:N")
    amount = base.mark_text(aria=False, style="amount", align="right", dy=-8).encode(
        x=alt.value("width"), text="amount:N"
    )
    layers = [bar, name, amount]
    if has_classes:
        colour = _abc_colour("abc_class:N")
        layers[0] = bar.encode(color=colour)
        letter = base.mark_text(aria=False, align="left", dy=-8, fontSize=13, fontWeight=700)
        layers.append(
            letter.encode(x=alt.value(0), text="abc_class:N", color=_abc_colour("abc_class:N"))
        )
    target = base.mark_rect(style="target").encode(
        x=alt.value(0),
        x2=alt.value("width"),
        tooltip=[alt.Tooltip(f"{heading}:N", title=heading) for heading in headings],
    )
    layers.append(target.properties(name=TARGET))
    return _titled(alt.layer(*layers).properties(height=44 * len(rows)), title, subtitle)


def revenue_concentration(rows: Rows, title: str, subtitle: str) -> Chart:
    """Draw the Pareto curve: share of revenue over share of products, by ABC class."""
    percent = alt.Axis(format=".0%", tickCount=5, title=None)
    base = alt.Chart(_data(rows))
    curve = base.encode(
        x=alt.X(
            "product_share:Q",
            axis=alt.Axis(
                format=".0%",
                grid=False,
                labelFlush=True,
                tickCount=5,
                title="share of products sold, best sellers first",
            ),
            scale=alt.Scale(domain=[0, 1]),
        ),
        y=alt.Y("revenue_share:Q", axis=percent, scale=alt.Scale(domain=[0, 1]), stack=None),
        color=_abc_colour("abc_class:N"),
    )
    target = base.mark_point(size=260, filled=True, style="target").encode(
        x="product_share:Q",
        y="revenue_share:Q",
        tooltip=[
            alt.Tooltip("label:N", title="Best sellers"),
            alt.Tooltip("revenue_share:Q", title="Share of revenue", format=".1%"),
            alt.Tooltip("abc_class:N", title="Class"),
        ],
    )
    area = curve.mark_area(aria=False, opacity=0.22)
    line = curve.mark_line(aria=False, strokeWidth=2.5)
    chart = alt.layer(area, line, target.properties(name=TARGET)).properties(height=280)
    return _titled(chart, title, subtitle)


def customer_segments(rows: Rows, title: str, subtitle: str) -> Chart:
    """Draw two bars per segment: its share of the revenue and its share of the customers."""
    shares = ("Share of revenue", "Share of customers")
    base = alt.Chart(_data(rows)).encode(
        y=alt.Y("position:O", axis=None, scale=alt.Scale(paddingInner=0, paddingOuter=0))
    )
    x_scale = alt.Scale(domainMin=0, nice=False)
    fields = ("revenue_share", "customer_share")
    bars = [
        base.mark_bar(aria=False, height=9, yOffset=offset, cornerRadius=2).encode(
            x=alt.X(f"{field}:Q", axis=None, scale=x_scale),
            color=alt.datum(
                share,
                type="nominal",
                scale=alt.Scale(domain=list(shares), range="category"),
                legend=alt.Legend(orient="top", direction="horizontal", symbolType="square"),
            ),
        )
        for field, share, offset in zip(fields, shares, (2, 14), strict=True)
    ]
    name = base.mark_text(aria=False, style="name", align="left", dy=-16).encode(
        x=alt.value(0), text="name:N"
    )
    amount = base.mark_text(aria=False, style="amount", align="right", dy=-16).encode(
        x=alt.value("width"), text="amount:N"
    )
    target = base.mark_rect(style="target").encode(
        x=alt.value(0),
        x2=alt.value("width"),
        tooltip=[
            alt.Tooltip("name:N", title="Segment"),
            alt.Tooltip("customers:N", title="Customers"),
            alt.Tooltip("customer_share:Q", title=shares[1], format=".1%"),
            alt.Tooltip("revenue:N", title="Revenue"),
            alt.Tooltip("revenue_share:Q", title=shares[0], format=".1%"),
        ],
    )
    chart = alt.layer(*bars, name, amount, target.properties(name=TARGET))
    return _titled(chart.properties(height=60 * len(rows)), title, subtitle)


def cohort_retention(rows: Rows, title: str, subtitle: str) -> Chart:
    """Draw a heat map: a row per first month, a column per month since, the share that came."""
    columns = len({row["months_since_first"] for row in rows})
    largest = max(_number(row["retention"]) for row in rows)
    base = alt.Chart(_data(rows)).encode(
        x=alt.X(
            "months_since_first:O",
            axis=alt.Axis(
                labelAngle=0,
                labelOverlap="greedy",
                labelSeparation=7,
                orient="top",
                ticks=False,
                title="months since the first purchase",
                titleAnchor="start",
            ),
            scale=alt.Scale(padding=0.04),
        ),
        y=alt.Y(
            "cohort:O",
            axis=alt.Axis(ticks=False, title=None),
            scale=alt.Scale(padding=0.06),
            sort=None,
        ),
    )
    cell = base.mark_rect(cornerRadius=2).encode(
        color=alt.Color(
            "retention:Q",
            legend=None,
            scale=alt.Scale(domain=[0, largest or 1], range="ramp"),
        ),
        tooltip=[
            alt.Tooltip("cohort:N", title="First purchase in"),
            alt.Tooltip("cohort_size:Q", title="Customers then", format=","),
            alt.Tooltip("months_since_first:O", title="Months later"),
            alt.Tooltip("customers:Q", title="Bought in that month", format=","),
            alt.Tooltip("retention:Q", title="Share", format=".1%"),
        ],
    )
    room = alt.ExprRef(f"width >= {columns * TEXT_IN_CELL_FROM_PIXELS} ? 1 : 0")
    text = base.encode(text=alt.Text("retention:Q", format=".0%"))
    bright = f"datum.retention > {0.5 * largest!r}"
    high = text.transform_filter(bright).mark_text(aria=False, style="on-high", opacity=room)
    low = text.transform_filter(f"!({bright})").mark_text(aria=False, style="on-low", opacity=room)
    chart = alt.layer(cell, high, low).properties(
        height=30 * len({row["cohort"] for row in rows}),
        usermeta={"maxWidth": max(320, 120 + 76 * columns)},
    )
    return _titled(chart, title, subtitle)


KINDS: dict[str, Callable[[Rows, str, str], Chart]] = {
    "revenue_over_time": revenue_over_time,
    "bar_list": bar_list,
    "revenue_concentration": revenue_concentration,
    "customer_segments": customer_segments,
    "cohort_retention": cohort_retention,
}


def page_spec(chart: Chart) -> Spec:
    """Return the chart for the page: its title stands there as text, and no address in it."""
    spec: Spec = chart.to_dict(validate=False)
    for key in ("$schema", "config", "title"):
        spec.pop(key, None)
    return spec


def chart_svg(chart: Chart) -> str:
    """Draw the chart as a still SVG picture, light on white, for Dagster's metadata."""
    spec: Spec = chart.to_dict(validate=False)
    spec["width"] = min(SVG_WIDTH, spec.get("usermeta", {}).get("maxWidth", SVG_WIDTH))
    title = spec["title"]
    title["text"] = textwrap.wrap(title["text"], spec["width"] // 10)
    title["subtitle"] = textwrap.wrap(title["subtitle"], max(60, spec["width"] // 7))
    # A picture has neither tooltips nor parts that a screen reader could reach.
    spec["layer"] = [layer for layer in spec["layer"] if layer.get("name") != TARGET]
    config = theme(LIGHT) | {"aria": False, "background": LIGHT["page"], "padding": 20}
    for key in ("config", "padding"):
        spec.pop(key, None)
    svg: str = vl_convert.vegalite_to_svg(
        _without_control_characters(spec), config=config, allowed_base_urls=[]
    )
    return FINER_THAN_ANY_PIXEL.sub("", svg)


def _without_control_characters(value: Any) -> Any:
    """Replace what XML does not have: vl-convert would end the whole process at it."""
    if isinstance(value, str):
        return NOT_XML.sub("\ufffd", value)
    if isinstance(value, dict):
        return {name: _without_control_characters(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_without_control_characters(part) for part in value]
    return value


def _abc_colour(field: str) -> alt.Color:
    return alt.Color(
        field,
        scale=alt.Scale(domain=list(ABC_CLASSES), range="category"),
        legend=alt.Legend(
            direction="horizontal",
            labelExpr="{A: 'A: first 80%', B: 'B: next 15%', C: 'C: the rest'}[datum.label]",
            orient="top",
            symbolOpacity=1,
            symbolType="square",
        ),
    )


def _data(rows: Rows) -> alt.InlineData:
    return alt.InlineData(values=[dict(row) for row in rows])


def _time_axis(rows: Rows, *, monthly: bool) -> tuple[alt.X, alt.X]:
    """Return the time as bands and, for lines, their middles; a few days all have a label."""
    if not monthly and len(rows) <= BANDS_UP_TO_DAYS:
        axis = alt.Axis(
            labelAngle=0, labelOverlap="parity", labelSeparation=6, ticks=False, title=None
        )
        bands = alt.X("tick:O", axis=axis, scale=alt.Scale(paddingInner=0.25), sort=None)
        return bands, bands
    by_day = not monthly and len(rows) <= BARS_UP_TO_DAYS
    axis = alt.Axis(
        grid=False,
        labelBound=20,
        labelExpr=DAY_LABEL if by_day else MONTH_LABEL,
        labelFlush=False,
        labelOverlap="parity",
        labelSeparation=6,
        tickCount=alt.ExprRef("max(2, min(10, floor(width / 40)))"),
        title=None,
    )
    unit: Literal["utcyearmonth", "utcyearmonthdate"] = (
        "utcyearmonth" if monthly else "utcyearmonthdate"
    )
    return (
        alt.X("date:T", timeUnit=unit, axis=axis),
        alt.X("date:T", timeUnit=unit, axis=axis, bandPosition=0.5),
    )


def _titled(chart: alt.LayerChart, title: str, subtitle: str) -> alt.LayerChart:
    """Make it as wide as its place; a screen reader reads the titles, numbers in the table."""
    titled: alt.LayerChart = chart.properties(
        width="container",
        title=alt.Title(title, subtitle=subtitle),
        description=f"{title}. {subtitle}",
    )
    return titled


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _text_width(rows: Rows, field: str) -> int:
    """Return the pixels that the longest of these texts takes: 7 for a digit of 13 px."""
    return 12 + round(7 * max(len(str(row[field])) for row in rows))
