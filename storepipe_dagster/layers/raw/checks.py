"""Checks on captures, made while capturing so that nothing downstream starts on a bad one."""

from collections.abc import Mapping, Sequence

import dagster as dg

from storepipe_dagster.captures import Capture

FEW_REJECTED = "few_records_are_rejected"
NEEDED_FIELDS = "needed_fields_are_there"
NONE_VANISH = "no_records_vanish"
LEAST_LOST = 5  # records; fewer prove nothing
MOST_DAYS = 5  # that a message names


def few_records_are_rejected(key: list[str]) -> dg.AssetCheckSpec:
    """The blocking check that each capture carries."""
    return dg.AssetCheckSpec(
        FEW_REJECTED,
        asset=dg.AssetKey(key),
        blocking=True,
        description="At most max_rejected_share of the records break their contract.",
    )


def needed_fields_are_there(key: list[str]) -> dg.AssetCheckSpec:
    """The blocking check that the store has not renamed what sales are made of."""
    return dg.AssetCheckSpec(
        NEEDED_FIELDS,
        asset=dg.AssetKey(key),
        blocking=True,
        description="No field that sales are made of is missing in all of ten or more records.",
    )


def complete(capture: Capture) -> dg.AssetCheckResult:
    """Whether each needed field is in some record at least."""
    vanished, unknown = capture.vanished_fields, sorted(capture.unknown_fields)
    description = None
    if vanished:
        description = (
            f"No record has {', '.join(vanished)} any more. New to us: "
            f"{', '.join(unknown) or 'no field'}. If the store has renamed it, name it so in "
            "layers/raw/schemas.py and in the transforms of layers/mysql and layers/trusted."
        )
    return dg.AssetCheckResult(
        check_name=NEEDED_FIELDS, passed=not vanished, description=description
    )


def judged(capture: Capture, max_rejected_share: float) -> dg.AssetCheckResult:
    """Whether few enough records were rejected."""
    share, rejected = capture.rejected_share, capture.rejected.counts.total()
    records = rejected + capture.accepted.counts.total()
    description = f"{rejected} of {records} records break their contract."
    if rejected:
        description += (
            f" That is {share:.1%}; at most {max_rejected_share:.1%} are let pass. They stand in "
            "the .rejected.json file beside the capture, each with its reason."
        )
    return dg.AssetCheckResult(
        check_name=FEW_REJECTED,
        passed=share <= max_rejected_share,
        description=description,
        metadata={
            "rejected_share": share,
            "reasons": dg.MetadataValue.json(dict(capture.reasons.most_common(20))),
        },
    )


def no_records_vanish(key: list[str]) -> dg.AssetCheckSpec:
    """The blocking check that the store has not forgotten what it once gave."""
    return dg.AssetCheckSpec(
        NONE_VANISH,
        asset=dg.AssetKey(key),
        blocking=True,
        description="Of the records that the newest capture of the same days, or of the list, had, "
        f"at most max_lost_share are gone, or fewer than {LEAST_LOST}; or accept_shrinking is set.",
    )


def kept(
    capture: Capture,
    earlier: Mapping[str | None, int],
    max_lost_share: float,
    *,
    accept_shrinking: bool,
    span: str,
) -> dg.AssetCheckResult:
    """Whether the records of earlier captures, counted by day, are still there.

    ``span`` are the days of the run, as options of ``storepipe run``.
    """
    losses = lost(capture, earlier, max_lost_share)
    description = "; ".join(losses) or "No fewer records than the newest capture, or hardly."
    if losses and accept_shrinking:
        description += ". Let pass by accept_shrinking."
    elif losses:
        description += (
            f". More than {max_lost_share:.0%} are gone: this capture is kept as .refused.json, "
            "and the earlier one stays the current one. Run again when the store gives them all; "
            f"if they are gone for good: storepipe run {span} --accept-shrinking, or "
            "accept_shrinking in the run configuration."
        )
    return dg.AssetCheckResult(
        check_name=NONE_VANISH, passed=not losses or accept_shrinking, description=description
    )


def lost(capture: Capture, earlier: Mapping[str | None, int], max_lost_share: float) -> list[str]:
    """Where a capture has too few records; rejected ones count, as the store still gives them.

    Each day is compared by itself; all days together, as each may lose too little to be noticed;
    and those that are empty now together, as each may have had too few to be noticed.
    """
    # Carts without a day count as rejected on the first one, whatever day they were of.
    undated = {min(capture.rejected.counts, key=str): capture.undated} if capture.undated else {}
    days = sorted(earlier, key=str)
    now = {
        day: capture.accepted.counts[day] + capture.rejected.counts[day] - undated.get(day, 0)
        for day in days
    }

    def shrinks(group: Sequence[str | None]) -> bool:
        before = sum(earlier[day] for day in group)
        gone = before - sum(now[day] for day in group)
        return gone >= LEAST_LOST and gone > max_lost_share * before

    emptied = [day for day in days if earlier[day] and not now[day]]
    named = [day for day in days if shrinks([day]) or (day in emptied and shrinks(emptied))]
    problems = [
        f"{day or 'The list'} has {now[day]:,} records where {earlier[day]:,} were captured before"
        for day in named[:MOST_DAYS]
    ]
    if len(named) > MOST_DAYS:
        problems.append(f"and likewise {len(named) - MOST_DAYS} more days")
    if len(days) > 1 and shrinks(days):
        before, after = sum(earlier.values()), sum(now.values())
        problems.append(
            f"all {len(days)} days have {after:,} records where {before:,} were captured before"
        )
    return problems
