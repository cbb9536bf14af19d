"""When tables are made again by themselves: after what they are made of has changed.

Which assets these conditions are for stands with the assets; ``sensors`` asks for the runs.
"""

import dagster as dg

Condition = dg.AutomationCondition

# Numbers from rows that broke a rule, or that nobody has judged, would be passed on.
_unchecked = Condition.any_deps_match(
    Condition.any_checks_match(
        Condition.in_progress() | Condition.check_failed() | Condition.execution_failed(),
        blocking_only=True,
    )
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
