"""Checks on captures, made while capturing so that nothing downstream starts on a bad one."""

import dagster as dg

from storepipe_dagster.captures import Capture

FEW_REJECTED = "few_records_are_rejected"
NEEDED_FIELDS = "needed_fields_are_there"


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
