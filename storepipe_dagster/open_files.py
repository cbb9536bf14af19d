"""How many files this process may have open: the limit is raised, and named where it was too low.

macOS lets a process open 256 files, Linux 1,024, unless it asks for more; the engines hold one or
more open per file of a table that they read or write.
"""

import sys

WANTED = 65_536
# macOS refuses more than its kernel's limit, though the hard limit is none.
STEPS = (WANTED, 10_240, 4_096)
ENOUGH = 4_096
# Of the operating system, and of Rust's and DuckDB's engines, which repeat it.
SIGNS = ("Too many open files", "os error 24", "Errno 24")


def limit() -> int | None:
    """How many files this process may have open; ``None`` where there is no such limit."""
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415  # Windows has none

    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit() -> None:
    """Raise the limit as far as is allowed; it stays where it is not."""
    now = limit()
    if sys.platform == "win32" or now is None:
        return
    import resource  # noqa: PLC0415  # Windows has none

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for step in STEPS:
        wanted = step if hard == resource.RLIM_INFINITY else min(step, hard)
        if wanted <= now:
            return
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        except (ValueError, OSError):
            continue  # perhaps the next, lower one is allowed
        return


def with_remedy(message: str, limit: int | None = None) -> str:
    """The message of an error, after what to do where it is that too many files were open.

    ``limit`` is that of the process that failed, where it is known.
    """
    if not any(sign in message for sign in SIGNS):
        return message
    had = f"; the process may have {limit}" if limit else ""
    more = max(ENOUGH, 4 * (limit or 0))
    return (
        f"Too many files were open at once{had}. Allow more with `ulimit -n {more}` (where that is "
        f"refused, as root, with LimitNOFILE={more} in the service or --ulimit nofile={more} for "
        f"the container), or run fewer days at a time.\n{message}"
    )
