"""The sections on who buys: segments and cohorts."""

import pyarrow as pa
import pyarrow.compute as pc

from storepipe_dagster.layers.refined.report import words
from storepipe_dagster.layers.refined.report.tables import Row, Section

COHORTS = 24
FEW_CUSTOMERS = 25
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


def segments(table: pa.Table) -> Section:
    """Compare the customers' segments in number and revenue, and say what each one means."""
    customers = table.num_rows
    revenue = words.total(table, "monetary")
    rows: list[Row] = []
    for name, (heading, meaning, action) in SEGMENTS.items():
        members = table.filter(pc.equal(table["segment"], name))
        count = members.num_rows
        amount = words.total(members, "monetary")
        shares = words.ratio(count, customers), words.ratio(amount, revenue)
        rows.append(
            {
                "position": len(rows),
                "name": heading,
                "amount": f"{words.count(count, 'customer')} · {words.money(amount)}",
                "customers": f"{count:,}",
                "customer_share": round(shares[0], 5),
                "revenue": words.money(amount),
                "revenue_share": round(shares[1], 5),
                "percents": [words.percent(share) for share in shares],
                "average": words.money(amount / count) if count else words.NOT_YET,
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


def cohorts(table: pa.Table) -> Section:
    """Show the share of each month's new customers that came back, months with none too."""
    cells = table.to_pylist()
    sizes = {row["cohort_month"]: row["cohort_size"] for row in cells}
    seen = {(row["cohort_month"], row["months_since_first"]): row for row in cells}
    newest = max((words.months(month) + since for month, since in seen), default=0)
    months = sorted(sizes)[-COHORTS:]
    rows: list[Row] = []
    for month in months:
        for since in range(1, min(newest - words.months(month), COHORTS) + 1):
            customers = seen[month, since]["customers"] if (month, since) in seen else 0
            rows.append(
                {
                    "cohort": f"{words.month(month, short=True)} ({sizes[month]:,})",
                    "cohort_size": sizes[month],
                    "months_since_first": since,
                    "customers": customers,
                    "retention": round(words.ratio(customers, sizes[month]), 5),
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
    back = words.ratio(
        sum(row["customers"] for row in next_month), sum(row["cohort_size"] for row in next_month)
    )
    title = f"{words.percent(back)} of new customers buy again in the month after their first"
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
        f"{words.of_all(len(months), len(sizes), 'months', 'newest')}.",
        kind="cohort_retention",
        rows=rows,
        head=["First purchase", *(f"Month {since}" for since in table_months)],
        body=[
            [
                cohort,
                *(
                    words.percent(by_cell[cohort, since]) if (cohort, since) in by_cell else ""
                    for since in table_months
                ),
            ]
            for cohort in cohorts
        ],
    )
