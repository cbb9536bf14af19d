"""What all errors with a remedy share, and what those share that pass."""


class UserError(Exception):
    """Something outside of the code is wrong; the message names it and says what to do.

    Commands print the message alone, without a stack trace.
    """


class PassingError(UserError):
    """What failed may succeed if it is done again and nothing else changes.

    The network, a lock, a cluster: these are tried again. Every other error stays until somebody
    mends data or settings. ``failures`` tells the two apart by this class.
    """
