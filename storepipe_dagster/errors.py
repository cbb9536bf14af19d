"""The one thing that all errors with a remedy share."""


class UserError(Exception):
    """Something outside of the code is wrong; the message names it and says what to do.

    Commands print the message alone, without a stack trace.
    """
