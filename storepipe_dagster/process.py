"""What each process of ours begins with: open files enough, private ones, and no proxy to itself.

Called by the commands, and by the definitions, which code servers and run workers load first.
"""

import os
from collections.abc import MutableMapping

from storepipe_dagster.open_files import raise_limit

OWNER_ONLY = 0o077  # what others may not do with a new file
LOOPBACK = ("localhost", "127.0.0.1", "::1")


def prepare_process() -> None:
    """Set up this process, and those that it starts."""
    raise_limit()
    os.umask(OWNER_ONLY)  # captures, tables and histories hold personal data
    reach_loopback_directly(os.environ)


def reach_loopback_directly(environment: MutableMapping[str, str]) -> None:
    """Except this machine from the proxies of the environment: Spark is reached by its network.

    Libraries read the one spelling or the other.
    """
    listed = environment.get("no_proxy", environment.get("NO_PROXY", ""))
    names = [name for name in listed.replace(",", " ").split() if name]
    if "*" not in names:
        names += [name for name in LOOPBACK if name not in names]
    for variable in ("no_proxy", "NO_PROXY"):
        environment[variable] = ",".join(names)
