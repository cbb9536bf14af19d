"""The charts of the store report as Vega-Lite, and the colours of its light and dark theme.

Pure: a few plain rows in, a specification out (https://vega.github.io/vega-lite/docs/spec.html).
What to show, how many rows of it and in which words is the sections' business. A chart names no
colour but a style or a range of its theme's configuration, so that the page can draw the same
chart light or dark, and no width, so that it fits the phone and the desktop.
"""

import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, cast

import vl_convert

Rows: TypeAlias = Sequence[dict[str, object]]
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
LEFT, RIGHT = {"value": 0}, {"value": "width"}
LIST: Spec = {  # the rows of a list, one below the other
    "field": "position",
    "type": "ordinal",
    "axis": None,
    "scale": {"paddingInner": 0, "paddingOuter": 0},
}
LEGEND = {"direction": "horizontal", "orient": "top", "symbolType": "square"}

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


def revenue_over_time(rows: Rows, title: str, subtitle: str) -> Spec:
    """Draw revenue per `date`, a row per day without gaps or per month, and its `mean` if any."""
    monthly = rows[0]["unit"] == "month"
    x, middle = _time_axis(rows, monthly=monthly)
    largest = max(_number(row["revenue"]) for row in rows)
    y = _of(
        "revenue:quantitative",
        axis={
            # Seven digits take too much of a phone's width.
            "format": "~s" if largest >= 100_000 else ",~f",  # noqa: PLR2004
            "labelExpr": "datum.value == 0 ? '0' : datum.label",
            "tickCount": 4,
            "title": None,
        },
        scale={"domainMin": 0, "nice": True},
    )
    tooltip = [
        _of("label:nominal", title="Month" if monthly else "Day"),
        _of("revenue:quantitative", title="Revenue", format=",.2f"),
        _of("carts:quantitative", title="Carts", format=","),
    ]
    has_mean = any(row["mean"] is not None for row in rows)
    if monthly or len(rows) <= BARS_UP_TO_DAYS:
        style = "faint-bar" if has_mean else "bar"
        layers = [_layer("bar", {"x": x, "y": y}, style=style, binSpacing=1, cornerRadiusEnd=1)]
    else:
        layers = [_layer("line", {"x": middle, "y": y}, style="faint-line")]
    if has_mean:
        tooltip.append(_of("mean_text:nominal", title="Mean of 7 days"))
        style = "mean-line" if len(rows) <= BARS_UP_TO_DAYS else "strong-line"
        mean = {"x": middle, "y": _of("mean:quantitative")}
        layers.append(_layer("line", mean, style=style))
    layers.append(_target({"x": x, "y": {"value": 0}, "y2": {"value": "height"}}, tooltip))
    # Room on the right for half of the last label.
    padding = {"left": 0, "right": 16, "top": 2, "bottom": 6}
    return _chart(rows, layers, title, subtitle, height=260, padding=padding)


def bar_list(rows: Rows, title: str, subtitle: str) -> Spec:
    """Draw a bar per row as long as its `revenue`, below its `name` and `amount` (a text).

    Names stand above the bars and not beside them: on a phone there is no beside. `tooltip` maps
    headings to texts.
    """
    headings = list(cast("Mapping[str, str]", rows[0]["tooltip"]))
    rows = [row | cast("dict[str, object]", row["tooltip"]) for row in rows]
    classes = {"color": _abc_colour()} if "abc_class" in rows[0] else {}
    length = _of("revenue:quantitative", axis=None, scale={"domainMin": 0, "nice": False})
    layers = [
        _layer(
            *("bar", {"x": length, "y": LIST, **classes}),
            style="bar",
            height=9,
            yOffset=9,
            cornerRadius=2,
        ),
        *_texts(-8, name_indent=20 if classes else 0, amount_width=_text_width(rows, "amount")),
    ]
    if classes:
        letter = {"x": LEFT, "y": LIST, "text": _of("abc_class:nominal"), **classes}
        layers.append(_layer("text", letter, align="left", dy=-8, fontSize=13, fontWeight=700))
    tooltip = [_of(f"{heading}:nominal", title=heading) for heading in headings]
    layers.append(_target({"x": LEFT, "x2": RIGHT, "y": LIST}, tooltip))
    return _chart(rows, layers, title, subtitle, height=44 * len(rows))


def revenue_concentration(rows: Rows, title: str, subtitle: str) -> Spec:
    """Draw the Pareto curve: share of revenue over share of products, by ABC class."""
    x_axis = {
        "format": ".0%",
        "grid": False,
        "labelFlush": True,
        "tickCount": 5,
        "title": "share of products sold, best sellers first",
    }
    y_axis = {"format": ".0%", "tickCount": 5, "title": None}
    x, y = "product_share:quantitative", "revenue_share:quantitative"
    curve = {
        "x": _of(x, axis=x_axis, scale={"domain": [0, 1]}),
        "y": _of(y, axis=y_axis, scale={"domain": [0, 1]}, stack=None),
        "color": _abc_colour(),
    }
    tooltip = [
        _of("label:nominal", title="Best sellers"),
        _of(y, title="Share of revenue", format=".1%"),
        _of("abc_class:nominal", title="Class"),
    ]
    layers = [
        _layer("area", curve, opacity=0.22),
        _layer("line", curve, strokeWidth=2.5),
        _target({"x": _of(x), "y": _of(y)}, tooltip, "point", size=260, filled=True),
    ]
    return _chart(rows, layers, title, subtitle, height=280)


def customer_segments(rows: Rows, title: str, subtitle: str) -> Spec:
    """Draw two bars per segment: its share of the revenue and its share of the customers."""
    shares = {"revenue_share": "Share of revenue", "customer_share": "Share of customers"}
    layers = [
        _layer(
            "bar",
            {
                "x": _of(f"{field}:quantitative", axis=None, scale={"domainMin": 0, "nice": False}),
                "y": LIST,
                "color": {
                    "datum": share,
                    "type": "nominal",
                    "scale": {"domain": list(shares.values()), "range": "category"},
                    "legend": LEGEND,
                },
            },
            height=9,
            yOffset=offset,
            cornerRadius=2,
        )
        for (field, share), offset in zip(shares.items(), (2, 14), strict=True)
    ]
    tooltip = [
        _of("name:nominal", title="Segment"),
        _of("customers:nominal", title="Customers"),
        _of("customer_share:quantitative", title=shares["customer_share"], format=".1%"),
        _of("revenue:nominal", title="Revenue"),
        _of("revenue_share:quantitative", title=shares["revenue_share"], format=".1%"),
    ]
    layers += [*_texts(-16), _target({"x": LEFT, "x2": RIGHT, "y": LIST}, tooltip)]
    return _chart(rows, layers, title, subtitle, height=60 * len(rows))


def cohort_retention(rows: Rows, title: str, subtitle: str) -> Spec:
    """Draw a heat map: a row per first month, a column per month since, the share that came."""
    columns = len({row["months_since_first"] for row in rows})
    largest = max(_number(row["retention"]) for row in rows)
    x_axis = {
        "labelAngle": 0,
        "labelOverlap": "greedy",
        "labelSeparation": 7,
        "orient": "top",
        "ticks": False,
        "title": "months since the first purchase",
        "titleAnchor": "start",
    }
    y_axis = {"ticks": False, "title": None}
    place = {
        "x": _of("months_since_first:ordinal", axis=x_axis, scale={"padding": 0.04}),
        "y": _of("cohort:ordinal", axis=y_axis, scale={"padding": 0.06}, sort=None),
    }
    ramp = {"domain": [0, largest or 1], "range": "ramp"}
    tooltip = [
        _of("cohort:nominal", title="First purchase in"),
        _of("cohort_size:quantitative", title="Customers then", format=","),
        _of("months_since_first:ordinal", title="Months later"),
        _of("customers:quantitative", title="Bought in that month", format=","),
        _of("retention:quantitative", title="Share", format=".1%"),
    ]
    colour = _of("retention:quantitative", legend=None, scale=ramp)
    cell: Spec = {
        "mark": {"type": "rect", "cornerRadius": 2},
        "encoding": {**place, "color": colour, "tooltip": tooltip},
    }
    text = {**place, "text": _of("retention:quantitative", format=".0%")}
    room = {"expr": f"width >= {columns * TEXT_IN_CELL_FROM_PIXELS} ? 1 : 0"}
    bright = f"datum.retention > {0.5 * largest!r}"
    layers = [cell] + [
        _layer("text", text, style=style, opacity=room) | {"transform": [{"filter": condition}]}
        for style, condition in (("on-high", bright), ("on-low", f"!({bright})"))
    ]
    return _chart(
        *(rows, layers, title, subtitle),
        height=30 * len({row["cohort"] for row in rows}),
        usermeta={"maxWidth": max(320, 120 + 76 * columns)},
    )


KINDS: dict[str, Callable[[Rows, str, str], Spec]] = {
    "revenue_over_time": revenue_over_time,
    "bar_list": bar_list,
    "revenue_concentration": revenue_concentration,
    "customer_segments": customer_segments,
    "cohort_retention": cohort_retention,
}


def page_spec(chart: Spec) -> Spec:
    """Return the chart for the page, where its title stands as text."""
    return {name: part for name, part in chart.items() if name != "title"}


def chart_svg(chart: Spec) -> str:
    """Draw the chart as a still SVG picture, light on white, for Dagster's metadata."""
    width = min(SVG_WIDTH, chart.get("usermeta", {}).get("maxWidth", SVG_WIDTH))
    picture = chart | {
        "width": width,
        "title": {
            "text": textwrap.wrap(chart["title"]["text"], width // 10),
            "subtitle": textwrap.wrap(chart["title"]["subtitle"], max(60, width // 7)),
        },
        # A picture has neither tooltips nor parts that a screen reader could reach.
        "layer": [layer for layer in chart["layer"] if layer.get("name") != TARGET],
    }
    picture.pop("padding", None)
    config = theme(LIGHT) | {"aria": False, "background": LIGHT["page"], "padding": 20}
    svg: str = vl_convert.vegalite_to_svg(
        _without_control_characters(picture), config=config, allowed_base_urls=[]
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


def _of(field_and_type: str, **more: Any) -> Spec:
    """Return what shows a field, such as ``revenue:quantitative``; a heading may have a colon."""
    field, _, kind = field_and_type.rpartition(":")
    return {"field": field, "type": kind, **more}


def _layer(mark: str, encoding: Spec, **style: Any) -> Spec:
    return {"mark": {"type": mark, "aria": False, **style}, "encoding": encoding}


def _target(place: Spec, tooltip: list[Spec], mark: str = "rect", **style: Any) -> Spec:
    """Return the layer that is not seen, and tells what the pointer is on."""
    return {
        "name": TARGET,
        "mark": {"type": mark, "style": TARGET, **style},
        "encoding": {**place, "tooltip": tooltip},
    }


def _texts(above: int, *, name_indent: int = 0, amount_width: int | None = None) -> list[Spec]:
    """Return the `name` on the left and the `amount` on the right of each row of a list."""
    name: Spec = {"style": "name", "align": "left", "dy": above}
    if amount_width is not None:
        room = f"width - {amount_width}{f' - {name_indent}' if name_indent else ''}"
        name |= {"dx": name_indent, "limit": {"expr": room}}
    return [
        _layer("text", {"x": LEFT, "y": LIST, "text": _of("name:nominal")}, **name),
        _layer(
            *("text", {"x": RIGHT, "y": LIST, "text": _of("amount:nominal")}),
            style="amount",
            align="right",
            dy=above,
        ),
    ]


def _abc_colour() -> Spec:
    texts = "{A: 'A: first 80%', B: 'B: next 15%', C: 'C: the rest'}[datum.label]"
    return _of(
        "abc_class:nominal",
        scale={"domain": list(ABC_CLASSES), "range": "category"},
        legend={**LEGEND, "labelExpr": texts, "symbolOpacity": 1},
    )


def _time_axis(rows: Rows, *, monthly: bool) -> tuple[Spec, Spec]:
    """Return the time as bands and, for lines, their middles; a few days all have a label."""
    axis: Spec = {"labelOverlap": "parity", "labelSeparation": 6, "title": None}
    if not monthly and len(rows) <= BANDS_UP_TO_DAYS:
        axis |= {"labelAngle": 0, "ticks": False}
        bands = _of("tick:ordinal", axis=axis, scale={"paddingInner": 0.25}, sort=None)
        return bands, bands
    by_day = not monthly and len(rows) <= BARS_UP_TO_DAYS
    axis |= {
        "grid": False,
        "labelBound": 20,
        "labelExpr": DAY_LABEL if by_day else MONTH_LABEL,
        "labelFlush": False,
        "tickCount": {"expr": "max(2, min(10, floor(width / 40)))"},
    }
    unit = "utcyearmonth" if monthly else "utcyearmonthdate"
    bands = _of("date:temporal", timeUnit=unit, axis=axis)
    return bands, bands | {"bandPosition": 0.5}


def _chart(rows: Rows, layers: list[Spec], title: str, subtitle: str, **more: Any) -> Spec:
    """Put layers together, as wide as their place; a screen reader reads the titles."""
    return {
        "data": {"values": [dict(row) for row in rows]},
        "title": {"text": title, "subtitle": subtitle},
        "description": f"{title}. {subtitle}",
        "width": "container",
        "layer": layers,
        **more,
    }


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _text_width(rows: Rows, field: str) -> int:
    """Return the pixels that the longest of these texts takes: 7 for a digit of 13 px."""
    return 12 + round(7 * max(len(str(row[field])) for row in rows))
