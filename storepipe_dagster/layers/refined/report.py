"""The page of `refined/store_report`: one HTML file that a shop owner reads, offline.

Here: which figures the page shows, how many rows of each table, in which words, and the
rendering of `report.html`. How a chart looks is in `charts.py`, which is imported when the first
chart is drawn: Altair takes longer to import than a page to render. Pure: equal tables give equal
bytes, and nothing is read but the packaged template.
"""

import calendar
import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal
from importlib import resources
from typing import TYPE_CHECKING, Any, TypeAlias

import jinja2
import pyarrow as pa
import pyarrow.compute as pc
from markupsafe import Markup

if TYPE_CHECKING:
    from storepipe_dagster.layers.refined.charts import Chart

Row: TypeAlias = dict[str, Any]

TOP_CATEGORIES = 12
TOP_CITIES = 12
TOP_PRODUCTS = 20
TOP_PAIRS = 15
COHORTS = 24
CURVE_POINTS = 120
DAYS_BEFORE_MONTHS = 1100  # about three years: above, a point per month instead of per day
DAYS_FOR_A_MEAN = 14
NOT_YET = "-"
FEW_CUSTOMERS = 25
MEAN_DAYS = 7
NAME_IN_HEADING = 36  # characters
TABLE_DAYS = 31  # above, the table beside the chart has a row per month
TREND_DAYS = 28  # four whole weeks: each weekday counts equally on both sides

SEGMENTS = {
    "champion": (
        "Champions",
        "Bought recently and buy often.",
        "Thank them: first look at new products, and ask them for reviews.",
    ),
    "regular": (
        "Regulars",
        "In between: neither your best customers nor about to leave.",
        "Suggest what goes with what they bought, to make them champions.",
    ),
    "new": (
        "New",
        "Bought recently, but have few carts so far.",
        "Welcome them and give a reason for another purchase soon.",
    ),
    "at_risk": (
        "At risk",
        "Have bought often, but not lately.",
        "Win them back first: remind them or make an offer before they are lost.",
    ),
    "lost": (
        "Lost",
        "Bought little, and long ago.",
        "Spend little here: one low-cost reminder at most.",
    ),
}


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


def store_report(tables: RefinedTables) -> str:
    """Render the page as HTML; without sales, a page that says so and how to get them."""
    import vl_convert  # noqa: PLC0415 - see the module's docstring

    from storepipe_dagster.layers.refined import charts as drawing  # noqa: PLC0415 - same

    sections = _sections(tables)
    drawn = _charts_of(sections)
    specs = {name: drawing.page_spec(chart) for name, chart in drawn.items()}
    themes = {"light": drawing.theme(drawing.LIGHT), "dark": drawing.theme(drawing.DARK)}
    runtime = vl_convert.javascript_bundle(None) if specs else ""
    return _template().render(
        light=drawing.LIGHT,
        dark=drawing.DARK,
        period=_period(tables.sales_by_day),
        figures=_figures(tables) if sections else (),
        sections=sections,
        specs={"charts": specs, "themes": themes} if specs else None,
        max_widths={name: spec.get("usermeta", {}).get("maxWidth") for name, spec in specs.items()},
        # Ours, not data: the one text that is not escaped. No "</script" stands in it today.
        runtime=Markup(runtime.replace("</script", "<\\/script")),  # noqa: S704
    )


def charts(tables: RefinedTables) -> "dict[str, Chart]":
    """Draw the charts of the page, by section name; none where there is nothing to draw."""
    return _charts_of(_sections(tables))


def chart_svg(chart: "Chart") -> str:
    """Draw one of `charts` as a still SVG picture, light on white, for Dagster's metadata."""
    from storepipe_dagster.layers.refined import charts as drawing  # noqa: PLC0415 - see above

    return drawing.chart_svg(chart)


def _charts_of(sections: Iterable[Section]) -> "dict[str, Chart]":
    from storepipe_dagster.layers.refined import charts as drawing  # noqa: PLC0415 - see above

    return {
        section.name: drawing.KINDS[section.kind](section.rows, section.title, section.subtitle)
        for section in sections
        if section.kind
    }


def _sections(tables: RefinedTables) -> list[Section]:
    if tables.sales_by_day.num_rows == 0:
        return []
    return [
        _revenue_over_time(tables.sales_by_day),
        _categories(tables.sales_by_category),
        _top_products(tables.sales_by_product),
        _concentration(tables.sales_by_product),
        _segments(tables.customer_segments),
        _cohorts(tables.customer_cohorts),
        _pairs(tables.product_affinity, tables.sales_by_product),
        _cities(tables.sales_by_city),
    ]


def _figures(tables: RefinedTables) -> list[Row]:
    days, customers = tables.sales_by_day, tables.customer_segments
    revenue, carts, units = (_total(days, name) for name in ("revenue", "carts", "units"))
    best = days.sort_by([("revenue", "descending"), ("sale_date", "ascending")]).slice(0, 1)
    best_day = best.to_pylist()[0]
    buyers = customers.num_rows
    again = customers.filter(pc.greater(customers["frequency"], 1)).num_rows
    products = tables.sales_by_product.num_rows
    categories = tables.sales_by_category.num_rows
    return [
        {
            "label": "Revenue",
            "value": _money(revenue),
            "note": f"from {_count(products, 'product')} in {_count(categories, 'category')}",
        },
        {
            "label": "Carts",
            "value": f"{carts:,}",
            "note": f"on {_count(days.num_rows, 'day')} with sales",
        },
        {
            "label": "Customers",
            "value": f"{buyers:,}",
            "note": f"{_percent(_ratio(again, buyers))} bought more than once",
        },
        {
            "label": "Units sold",
            "value": f"{units:,}",
            "note": f"{_ratio(units, carts):,.1f} per cart",
        },
        {
            "label": "Average cart value",
            "value": _money(Decimal(revenue) / carts) if carts else _money(0),
            "note": f"{_money(Decimal(revenue) / buyers)} per customer" if buyers else "",
        },
        {
            "label": "Best day",
            "value": _day(best_day["sale_date"]),
            "note": f"brought {_money(best_day['revenue'])}",
        },
    ]


def _revenue_over_time(days: pa.Table) -> Section:
    rows = days.sort_by("sale_date").to_pylist()
    first, last = rows[0]["sale_date"], rows[-1]["sale_date"]
    span = (last - first).days + 1
    best = max(rows, key=lambda row: row["revenue"])
    title = f"{_day(best['sale_date'])} was the best day, with {_money(best['revenue'])}"
    points, subtitle = _points_in_time(rows, span)
    if span >= 2 * TREND_DAYS:
        title = _trend(rows, last) or title
    by_month = len(rows) > TABLE_DAYS
    body = [
        [label, f"{carts:,}", f"{units:,}", _money(revenue)]
        for label, carts, units, revenue in _periods(rows, by_month=by_month)
    ]
    return Section(
        name="revenue_over_time",
        topic="Revenue over time",
        title=title,
        subtitle=subtitle if span > 1 else "Sales on one day only: no course of time to draw yet.",
        kind="revenue_over_time" if span > 1 else None,
        rows=points,
        head=["Month" if by_month else "Day", "Carts", "Units", "Revenue"],
        body=body,
    )


def _points_in_time(rows: Sequence[Row], span: int) -> tuple[list[Row], str]:
    """One point per day of the span, days without sales too, or per month when they are many."""
    if span > DAYS_BEFORE_MONTHS:
        months: dict[dt.date, Row] = {}
        for row in rows:
            month = row["sale_date"].replace(day=1)
            point = months.setdefault(
                month, {"date": month.isoformat(), "label": _month(month), "unit": "month"}
            )
            point["revenue"] = point.get("revenue", 0.0) + float(row["revenue"])
            point["carts"] = point.get("carts", 0) + row["carts"]
            point["mean"] = None
        return list(months.values()), "Each bar is the revenue of one month."
    by_date = {row["sale_date"]: row for row in rows}
    dates = [rows[0]["sale_date"] + dt.timedelta(days=n) for n in range(span)]
    revenue = [float(by_date[date]["revenue"]) if date in by_date else 0.0 for date in dates]
    has_mean = span >= DAYS_FOR_A_MEAN and len(rows) >= MEAN_DAYS
    points: list[Row] = []
    for n, date in enumerate(dates):
        week = revenue[n - MEAN_DAYS + 1 : n + 1] if has_mean and n >= MEAN_DAYS - 1 else []
        points.append(
            {
                "date": date.isoformat(),
                "label": f"{calendar.day_abbr[date.weekday()]} {_day(date)}",
                "tick": f"{date.day} {calendar.month_abbr[date.month]}",
                "unit": "day",
                "revenue": revenue[n],
                "carts": by_date[date]["carts"] if date in by_date else 0,
                "mean": round(sum(week) / MEAN_DAYS, 2) if week else None,
                "mean_text": f"{sum(week) / MEAN_DAYS:,.2f}" if week else NOT_YET,
            }
        )
    subtitle = "Each bar is one day; days without a bar had no sales."
    if has_mean:
        subtitle = "Pale: each day. Strong: the mean of that day and the six before it."
    return points, subtitle


def _trend(rows: Sequence[Row], last: dt.date) -> str | None:
    """Compare the newest four weeks with the four before; None when those had no revenue."""
    newest = before = Decimal(0)
    for row in rows:
        age = (last - row["sale_date"]).days
        if age < TREND_DAYS:
            newest += row["revenue"]
        elif age < 2 * TREND_DAYS:
            before += row["revenue"]
    if not before:
        return None
    change = float(newest / before) - 1
    if abs(change) < 0.005:  # noqa: PLR2004 - would be shown as 0%
        return f"Revenue of the last {TREND_DAYS} days is level with the {TREND_DAYS} days before"
    direction = "above" if change > 0 else "below"
    return (
        f"Revenue of the last {TREND_DAYS} days is {_percent(abs(change))} {direction} "
        f"the {TREND_DAYS} days before"
    )


def _periods(rows: Sequence[Row], *, by_month: bool) -> Iterable[tuple[str, int, int, Decimal]]:
    """Label, carts, units and revenue per day, or per month."""
    totals: dict[str, tuple[int, int, Decimal]] = {}
    for row in rows:
        label = _month(row["sale_date"]) if by_month else _day(row["sale_date"])
        carts, units, revenue = totals.get(label, (0, 0, Decimal(0)))
        totals[label] = carts + row["carts"], units + row["units"], revenue + row["revenue"]
    return ((label, *total) for label, total in totals.items())


def _categories(table: pa.Table) -> Section:
    every = table.sort_by([("revenue", "descending"), ("category", "ascending")])
    rows = every.slice(0, TOP_CATEGORIES).to_pylist()
    texts = [
        [
            row["category"] or "(no category)",
            _money(row["revenue"]),
            _percent(row["revenue_share"]),
            f"{row['units']:,}",
            f"{row['carts']:,}",
        ]
        for row in rows
    ]
    head = ["Category", "Revenue", "Share", "Units", "Carts"]
    return Section(
        name="categories",
        topic="Categories",
        title=f"{_heading(texts[0][0])} brings {texts[0][2]} of the revenue"
        if rows
        else "No categories yet",
        subtitle="Revenue per category and its share of the whole"
        f"{_of_all(len(rows), every.num_rows, 'categories')}.",
        kind="bar_list" if rows else None,
        rows=_bars(rows, head, texts),
        head=head,
        body=texts,
    )


def _top_products(table: pa.Table) -> Section:
    rows = table.sort_by("revenue_rank").slice(0, TOP_PRODUCTS).to_pylist()
    head = ["Product", "Revenue", "Share", "Class", "Units", "Carts", "Category"]
    texts = [
        [
            _title(row),
            _money(row["revenue"]),
            _percent(row["revenue_share"]),
            row["abc_class"],
            f"{row['units']:,}",
            f"{row['carts']:,}",
            row["category"] or "(no category)",
        ]
        for row in rows
    ]
    bars = _bars(rows, head, texts)
    for bar, row in zip(bars, rows, strict=True):
        bar["abc_class"] = row["abc_class"]
    return Section(
        name="top_products",
        topic="Top products",
        title=f"{_heading(texts[0][0])} is the best seller, with {texts[0][2]} of the revenue"
        if rows
        else "No products yet",
        subtitle="Revenue per product, its share of the whole and its class"
        f"{_of_all(len(rows), table.num_rows, 'products')}.",
        kind="bar_list" if rows else None,
        rows=bars,
        head=head,
        body=texts,
    )


def _concentration(table: pa.Table) -> Section:
    """ABC classes: how few products bring how much."""
    count = table.num_rows
    ranked = table.select(
        ["revenue_rank", "revenue_share", "cumulative_revenue_share", "abc_class"]
    )
    ranked = ranked.sort_by("revenue_rank")
    classes = ranked["abc_class"].to_pylist()
    shares = ranked["cumulative_revenue_share"].to_pylist()
    body = []
    reached = 0.0
    for name in ("A", "B", "C"):
        places = [n for n, abc_class in enumerate(classes) if abc_class == name]
        if places:
            until = shares[places[-1]] or 0.0
            body.append([name, f"{len(places):,}", _percent(until - reached), _percent(until)])
            reached = until
    drawable = count > 2 and bool(shares[-1])  # noqa: PLR2004 - two points are no curve
    title = "Too few products for a curve yet"
    if drawable:
        title = f"{body[0][1]} of {_count(count, 'product')} bring {body[0][3]} of the revenue"
    return Section(
        name="revenue_concentration",
        topic="Where the revenue comes from",
        title=title,
        subtitle="Products from best to least sold, and the share of revenue they bring together. "
        "Class A brings the first 80% and should never run out, B the next 15%, C the rest.",
        kind="revenue_concentration" if drawable else None,
        rows=_curve(shares, classes) if drawable else (),
        head=["Class", "Products", "Share of revenue", "Cumulative share"],
        body=body,
    )


def _curve(shares: Sequence[float], classes: Sequence[str]) -> list[Row]:
    """Choose some hundred points: evenly spread ones, and those where the class changes."""
    count = len(shares)
    steps = min(count, CURVE_POINTS)
    chosen = {round(step * (count - 1) / (steps - 1)) for step in range(steps)}
    chosen |= {n - 1 for n in range(1, count) if classes[n] != classes[n - 1]}
    points = [_curve_point(0, count, 0.0, classes[0])]
    for n in sorted(chosen):
        if classes[n] != points[-1]["abc_class"]:  # the classes' areas touch
            points.append({**points[-1], "abc_class": classes[n]})
        points.append(_curve_point(n + 1, count, shares[n], classes[n]))
    return points


def _curve_point(products: int, count: int, share: float, abc_class: str) -> Row:
    return {
        "label": f"{products:,} of {count:,}",
        "product_share": round(products / count, 5),
        "revenue_share": round(share, 5),
        "abc_class": abc_class,
    }


def _segments(table: pa.Table) -> Section:
    grouped = table.group_by("segment").aggregate([("monetary", "sum"), ("user_id", "count")])
    found = {row["segment"]: row for row in grouped.to_pylist()}
    customers = table.num_rows
    revenue = sum((row["monetary_sum"] for row in found.values()), Decimal(0))
    rows: list[Row] = []
    for name, (heading, meaning, action) in SEGMENTS.items():
        count = found[name]["user_id_count"] if name in found else 0
        amount = found[name]["monetary_sum"] if name in found else Decimal(0)
        shares = _ratio(count, customers), _ratio(amount, revenue)
        rows.append(
            {
                "position": len(rows),
                "name": heading,
                "amount": f"{_count(count, 'customer')} · {_money(amount)}",
                "customers": f"{count:,}",
                "customer_share": round(shares[0], 5),
                "revenue": _money(amount),
                "revenue_share": round(shares[1], 5),
                "percents": [_percent(share) for share in shares],
                "average": _money(amount / count) if count else NOT_YET,
                "meaning": meaning,
                "action": action,
            }
        )
    best = max(rows, key=lambda row: row["revenue_share"])
    title = "No customers yet"
    if customers:
        title = (
            f"{best['name']}: {best['percents'][0]} of the customers, "
            f"{best['percents'][1]} of the revenue"
        )
    few = " With so few customers the segments say little yet." if customers < FEW_CUSTOMERS else ""
    shown = (
        "position",
        "name",
        "amount",
        "customers",
        "customer_share",
        "revenue",
        "revenue_share",
    )
    return Section(
        name="customer_segments",
        topic="Customer segments",
        title=title,
        subtitle="Customers compared with each other: how recently and how often they bought, "
        f"counted back from the newest sale.{few}",
        kind="customer_segments" if customers else None,
        rows=[{key: row[key] for key in shown} for row in rows],
        head=["Segment", "Customers", "Share", "Revenue", "Share", "Per customer"],
        body=[
            [
                row["name"],
                row["customers"],
                row["percents"][0],
                row["revenue"],
                row["percents"][1],
                row["average"],
            ]
            for row in rows
        ],
        blocks=rows if customers else (),
    )


def _cohorts(table: pa.Table) -> Section:
    """Show the share of each month's new customers that came back, months with none too."""
    cells = table.to_pylist()
    sizes = {row["cohort_month"]: row["cohort_size"] for row in cells}
    seen = {(row["cohort_month"], row["months_since_first"]): row for row in cells}
    newest = max((_months(month) + since for month, since in seen), default=0)
    months = sorted(sizes)[-COHORTS:]
    rows: list[Row] = []
    for month in months:
        for since in range(1, min(newest - _months(month), COHORTS) + 1):
            customers = seen[month, since]["customers"] if (month, since) in seen else 0
            rows.append(
                {
                    "cohort": f"{_month(month, short=True)} ({sizes[month]:,})",
                    "cohort_size": sizes[month],
                    "months_since_first": since,
                    "customers": customers,
                    "retention": round(_ratio(customers, sizes[month]), 5),
                }
            )
    topic = "Customers who come back"
    if not rows:
        return Section(
            name="cohort_retention",
            topic=topic,
            title="Too early to say who comes back",
            subtitle="All customers bought for the first time in the same month. "
            "From the next month on, this shows how many of them return.",
        )
    next_month = [row for row in rows if row["months_since_first"] == 1]
    back = _ratio(
        sum(row["customers"] for row in next_month), sum(row["cohort_size"] for row in next_month)
    )
    title = f"{_percent(back)} of new customers buy again in the month after their first"
    if not back:
        title = "No new customer bought again in the month after their first"
    widest = max(row["months_since_first"] for row in rows)
    table_months = [since for since in (1, 2, 3, 6, 12) if since <= widest]
    by_cell = {(row["cohort"], row["months_since_first"]): row["retention"] for row in rows}
    cohorts = list(dict.fromkeys(row["cohort"] for row in rows))
    return Section(
        name="cohort_retention",
        topic=topic,
        title=title,
        subtitle="A row per month of first purchase, with its number of new customers; "
        "a cell is the share of them that bought in that later month"
        f"{_of_all(len(months), len(sizes), 'months', 'newest')}.",
        kind="cohort_retention",
        rows=rows,
        head=["First purchase", *(f"Month {since}" for since in table_months)],
        body=[
            [
                cohort,
                *(
                    _percent(by_cell[cohort, since]) if (cohort, since) in by_cell else ""
                    for since in table_months
                ),
            ]
            for cohort in cohorts
        ],
    )


def _pairs(affinity: pa.Table, products: pa.Table) -> Section:
    """Show the pairs with the most carts beyond chance.

    Lift alone would put pairs first that met twice by accident, carts alone the best sellers. Carts
    with both divided by the lift are the carts that chance would give: the rest is the pair's own.
    """
    together = affinity.filter(pc.greater(affinity["lift"], 1.0))
    by_chance = pc.divide(pc.cast(together["carts_together"], pa.float64()), together["lift"])
    beyond_chance = pc.subtract(together["carts_together"], by_chance)
    together = together.append_column("beyond_chance", pc.round(beyond_chance, 6))
    order = [("beyond_chance", "descending")]
    order += [("product_id", "ascending"), ("other_product_id", "ascending")]
    rows = together.sort_by(order).slice(0, TOP_PAIRS).to_pylist()
    ids = {row[key] for row in rows for key in ("product_id", "other_product_id")}
    known = products.filter(pc.is_in(products["product_id"], pa.array(sorted(ids), pa.int64())))
    titles = {row["product_id"]: _title(row) for row in known.to_pylist()}
    highest = max((row["lift"] for row in rows), default=1.0)
    blocks = [
        {
            "first": titles.get(row["product_id"], f"Product {row['product_id']}"),
            "second": titles.get(row["other_product_id"], f"Product {row['other_product_id']}"),
            "carts": f"{row['carts_together']:,}",
            "support": _percent(row["support"]),
            "confidence": _percent(row["confidence"]),
            "lift": f"{row['lift']:,.1f}",
            "bar": round(100 * row["lift"] / highest, 1),
        }
        for row in rows
    ]
    topic = "Bought together"
    if not blocks:
        return Section(
            name="pairs",
            topic=topic,
            title="No two products stand out together yet",
            subtitle="Pairs show here once the same two products are in several carts, "
            "more often than by chance.",
        )
    top = blocks[0]
    return Section(
        name="pairs",
        topic=topic,
        title=f"{_heading(top['first'])} and {_shorten(top['second'])} stand out: "
        f"together in {_count(rows[0]['carts_together'], 'cart')}",
        subtitle="Pairs ranked by how many more carts hold both than chance would explain"
        f"{_of_all(len(rows), together.num_rows, 'pairs')}. Offer one to buyers of the other.",
        blocks=blocks,
    )


def _cities(table: pa.Table) -> Section:
    every = table.sort_by([("revenue", "descending"), ("city", "ascending")])
    rows = every.slice(0, TOP_CITIES).to_pylist()
    revenue = _total(table, "revenue")
    texts = [
        [
            row["city"] or "(no city)",
            _money(row["revenue"]),
            _percent(_ratio(row["revenue"], revenue)),
            f"{row['customers']:,}",
            f"{row['carts']:,}",
        ]
        for row in rows
    ]
    head = ["City", "Revenue", "Share", "Customers", "Carts"]
    return Section(
        name="cities",
        topic="Cities",
        title=f"{_heading(texts[0][0])} brings {texts[0][2]} of the revenue"
        if rows
        else "No cities yet",
        subtitle="Revenue per city of the customers and its share of the whole"
        f"{_of_all(len(rows), every.num_rows, 'cities')}.",
        kind="bar_list" if rows else None,
        rows=_bars(rows, head, texts),
        head=head,
        body=texts,
    )


def _bars(rows: Sequence[Row], head: Sequence[str], texts: Sequence[Sequence[str]]) -> list[Row]:
    """Rows of a bar list; the texts are its tooltip, their first three the label on the bar."""
    return [
        {
            "position": position,
            "name": text[0],
            "amount": f"{text[1]} · {text[2]}",
            "revenue": float(row["revenue"]),
            "tooltip": dict(zip(head, text, strict=True)),
        }
        for position, (row, text) in enumerate(zip(rows, texts, strict=True))
    ]


def _template() -> jinja2.Template:
    source = resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, lstrip_blocks=True, trim_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)


def _title(product: Mapping[str, Any]) -> str:
    return product["product_title"] or f"Product {product['product_id']}"


def _shorten(name: str) -> str:
    return name if len(name) <= NAME_IN_HEADING else f"{name[: NAME_IN_HEADING - 1].rstrip()}…"


def _heading(name: str) -> str:
    """Shorten a name to start a heading with."""
    return _shorten(name[:1].upper() + name[1:])


def _period(days: pa.Table) -> str:
    if days.num_rows == 0:
        return ""
    bounds = pc.min_max(days["sale_date"]).as_py()
    first, last = bounds["min"], bounds["max"]
    return _day(first) if first == last else f"{_day(first)} to {_day(last)}"


def _of_all(shown: int, count: int, what: str, which: str = "top") -> str:
    return f"; the {which} {shown} of {count:,} {what}" if shown < count else ""


def _total(table: pa.Table, column: str) -> Any:
    return pc.sum(table[column]).as_py() or 0


def _ratio(part: float | Decimal, whole: float | Decimal) -> float:
    return float(part) / float(whole) if whole else 0.0


def _money(amount: Decimal | int) -> str:
    """Two decimals and thousands separators; the API names no currency, so none stands here."""
    return f"{Decimal(amount).quantize(Decimal('0.01'), ROUND_HALF_UP):,}"


def _percent(share: float | None) -> str:
    share = share or 0.0
    return f"{share:.0%}" if share >= 0.0995 or share == 0 else f"{share:.1%}"  # noqa: PLR2004


def _count(number: int, noun: str) -> str:
    plural = f"{noun[:-1]}ies" if noun.endswith("y") and noun != "day" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def _day(date: dt.date) -> str:
    return f"{date.day} {calendar.month_name[date.month]} {date.year}"


def _month(date: dt.date, *, short: bool = False) -> str:
    names = calendar.month_abbr if short else calendar.month_name
    return f"{names[date.month]} {date.year}"


def _months(date: dt.date) -> int:
    return date.year * 12 + date.month
