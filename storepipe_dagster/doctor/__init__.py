"""``storepipe doctor``: whether each service that the settings name is there for us.

``examination`` knows which services a deployment has and runs their checks side by side. Each other
module checks one service: its ``check(settings)`` tells what was found, or raises ``TroubleError``.
No check changes anything that stays.
"""

from storepipe_dagster.errors import UserError

# For each answer of a service. Importing what a check needs takes a second or two more.
SECONDS = 4.0


class TroubleError(UserError):
    """A service cannot be used; the message says why and what to do, and has no secret."""
