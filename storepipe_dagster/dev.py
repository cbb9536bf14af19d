"""``dagster dev``, with our webserver in the place of Dagster's.

Called as it is: ``python -m storepipe_dagster.dev --port 3000``.
"""

import signal
import warnings
from typing import Any

from dagster._cli import dev

OURS = {"dagster_webserver": "storepipe_dagster.webserver"}


def main() -> None:
    """Run Dagster's command; it starts its services as modules of Python."""
    # Scripts start what is in the background with SIGINT ignored, and Dagster handles SIGTERM the
    # same way: nothing but SIGKILL would end it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command: Any = dev
    start = command.open_ipc_subprocess

    def start_ours(parts: list[str], **options: Any) -> Any:
        return start([OURS.get(part, part) for part in parts], **options)

    command.open_ipc_subprocess = start_ours
    # Its successor, dg, starts this one.
    warnings.filterwarnings("ignore", message="Function `dev_command` is superseded")
    command.dev_command()


if __name__ == "__main__":
    main()
