"""The command `python -m storepipe_dagster.store`: serve a shop until told to end."""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from storepipe_dagster.store.folder import FolderShop
from storepipe_dagster.store.server import serve_forever
from storepipe_dagster.store.shop import Shop, StoreError
from storepipe_dagster.store.synthetic import SyntheticShop


def main() -> int:
    """Serve the shop the arguments describe; the exit code is 0 when it was told to end."""
    arguments = _parse_arguments()
    if arguments.until_stdin_closes:
        threading.Thread(target=_end_with_stdin, daemon=True).start()
    try:
        serve_forever(_open_shop(arguments), arguments.port)
    except StoreError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m storepipe_dagster.store",
        description="Serve a Fake Store compatible API. The first line printed is its base URL.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 takes a free one")
    parser.add_argument("--carts", type=int, default=SyntheticShop.carts, help="synthetic carts")
    parser.add_argument("--days", type=int, default=SyntheticShop.days, help="days they fall on")
    parser.add_argument("--seed", type=int, default=SyntheticShop.seed, help="same seed, same shop")
    parser.add_argument(
        "--from-dir",
        type=Path,
        help="serve products.json, users.json and carts.json of this folder instead",
    )
    parser.add_argument(
        "--until-stdin-closes", action="store_true", help="end when standard input does"
    )
    return parser.parse_args()


def _open_shop(arguments: argparse.Namespace) -> Shop:
    if arguments.from_dir is not None:
        return FolderShop(arguments.from_dir)
    return SyntheticShop(arguments.carts, arguments.days, arguments.seed)


def _end_with_stdin() -> None:
    # Read without a buffer, whose lock would be held when the interpreter ends.
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
