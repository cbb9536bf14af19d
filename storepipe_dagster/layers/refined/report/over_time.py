"""The section on revenue over time: by day with a mean, or by month when the days are many."""

import calendar
import datetime as dt
from collections.abc import Iterable, Sequence
from decimal import Decimal

import pyarrow as pa

from storepipe_dagster.layers.refined.report import words
from storepipe_dagster.layers.refined.report.tables import Row, Section

DAYS_BEFORE_MONTHS = 1100  # about three years: above, a point per month instead of per day
DAYS_FOR_A_MEAN = 14
MEAN_DAYS = 7
TABLE_DAYS = 31  # above, the table beside the chart has a row per month
TREND_DAYS = 28  # four whole weeks: each weekday counts equally on both sides


def revenue_over_time(days: pa.Table) -> Section:
    """Draw the revenue of each day, or of each month of a long time."""
    rows = days.sort_by("sale_date").to_pylist()
    first, last = rows[0]["sale_date"], rows[-1]["sale_date"]
    span = (last - first).days + 1
    best = max(rows, key=lambda row: row["revenue"])
    title = f"{words.day(best['sale_date'])} was the best day, with {words.money(best['revenue'])}"
    points, subtitle = _points_in_time(rows, span)
    if span >= 2 * TREND_DAYS:
        title = _trend(rows, last) or title
    by_month = len(rows) > TABLE_DAYS
    body = [
        [label, f"{carts:,}", f"{units:,}", words.money(revenue)]
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
                month, {"date": month.isoformat(), "label": words.month(month), "unit": "month"}
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
                "label": f"{calendar.day_abbr[date.weekday()]} {words.day(date)}",
                "tick": f"{date.day} {calendar.month_abbr[date.month]}",
                "unit": "day",
                "revenue": revenue[n],
                "carts": by_date[date]["carts"] if date in by_date else 0,
                "mean": round(sum(week) / MEAN_DAYS, 2) if week else None,
                "mean_text": f"{sum(week) / MEAN_DAYS:,.2f}" if week else words.NOT_YET,
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
        f"Revenue of the last {TREND_DAYS} days is {words.percent(abs(change))} {direction} "
        f"the {TREND_DAYS} days before"
    )


def _periods(rows: Sequence[Row], *, by_month: bool) -> Iterable[tuple[str, int, int, Decimal]]:
    """Label, carts, units and revenue per day, or per month."""
    totals: dict[str, tuple[int, int, Decimal]] = {}
    for row in rows:
        label = words.month(row["sale_date"]) if by_month else words.day(row["sale_date"])
        carts, units, revenue = totals.get(label, (0, 0, Decimal(0)))
        totals[label] = carts + row["carts"], units + row["units"], revenue + row["revenue"]
    return ((label, *total) for label, total in totals.items())
