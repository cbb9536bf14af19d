"""When tables are made again by themselves: after what they are made of has changed.

Which assets these conditions are for stands with the assets; ``sensors`` asks for the runs.
"""

from typing import Any

import dagster as dg

from storepipe_dagster.standing.standing import Standing

Condition = dg.AutomationCondition


class IsUnfit(dg.AutomationCondition[dg.AssetKey]):
    """Which days of an asset broke a blocking rule, or were not judged.

    Dagster's own conditions know the last result of a check, which is about the days of the last
    run only; the standing list knows how it is with each day.
    """

    @property
    def requires_cursor(self) -> bool:
        """What it needs to know stands in the instance."""
        return False

    def evaluate(self, context: dg.AutomationContext[dg.AssetKey]) -> dg.AutomationResult[Any]:
        """Those of the candidates."""
        unfit = context.candidate_subset
        if not unfit.is_empty:
            view = context.asset_graph_view
            days = Standing(view.instance, view.asset_graph).unfit_days(context.key)
            if context.partitions_def is not None:
                keys = {day for day in days if day is not None}
                unfit = view.compute_intersection_with_partition_keys(keys, unfit)
            elif not days:
                unfit = context.get_empty_subset()
        return dg.AutomationResult(context, unfit)


# Numbers that broke a rule, or that nobody has judged, would be passed on.
_unchecked = Condition.any_deps_match(
    Condition.any_checks_match(Condition.in_progress(), blocking_only=True) | IsUnfit()
).with_label("any_deps_unchecked")

# Not eager(): that waits for every day since the first one to be there, and takes only the newest.
# A run that makes both, like the daily one, is no reason; nor is each run of a backfill under way.
AFTER_CHANGES = (
    Condition.any_deps_updated().since_last_handled()
    & ~Condition.any_deps_in_progress()
    & ~Condition.in_progress()
    & ~_unchecked
).with_label("after_changes")

# One report on all of the new tables, not one for each.
AFTER_ALL_CHANGES = (
    AFTER_CHANGES & ~Condition.any_deps_match(Condition.will_be_requested())
).with_label("after_all_changes")
