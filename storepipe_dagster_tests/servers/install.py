"""Installs what the servers of the tests need: `python -m storepipe_dagster_tests.servers.install`.

Debian's packages go where Debian puts them, the rest into `.servers`; what is there already is
used. Uses the standard library only.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".servers"
AZURITE = "3.37.0"
# Which package of Debian brings which program.
DEBIAN = {
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",
    "setpriv": "util-linux",
    "chromium": "chromium",
}
OURS = {"azurite-blob": FOLDER / "azurite" / "node_modules" / ".bin" / "azurite-blob"}
# An ordinary user's PATH may lack the folders of servers.
SEARCH_PATH = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/local/sbin", "/usr/sbin"])
BY_HAND = f"""\
The tests run on real servers, and these programs are missing: {{missing}}.
{{reason}}
Install them by hand, then run `make test` again:
    apt-get install --no-install-recommends {" ".join(dict.fromkeys(DEBIAN.values()))}
    npm install --prefix {FOLDER / "azurite"} azurite@{AZURITE}"""


class MissingServerError(RuntimeError):
    """A program that the tests need is not there; the message tells how to install it."""

    def __init__(self, missing: list[str], reason: str) -> None:
        super().__init__(BY_HAND.format(missing=", ".join(missing), reason=reason))


def find(name: str) -> Path | None:
    """The program, from our folder or the machine's."""
    if name in OURS:
        return OURS[name] if OURS[name].exists() else None
    found = shutil.which(name, path=SEARCH_PATH)
    return Path(found) if found else None


def program(name: str) -> Path:
    """The program; raises `MissingServerError`."""
    found = find(name)
    if found is None:
        raise MissingServerError([name], "`make servers` installs what is missing.")
    return found


def missing(names: "dict[str, object]") -> list[str]:
    return [name for name in names if find(name) is None]


def install() -> None:
    """Install what is missing; raises `MissingServerError` where that is not allowed."""
    if packages := list(dict.fromkeys(DEBIAN[name] for name in missing(DEBIAN))):
        need("apt-get", packages, "This is not Debian: it has no apt-get.")
        if os.geteuid() != 0:
            raise MissingServerError(packages, "Only root may install Debian's packages.")
        say(f"installing Debian's {', '.join(packages)}")
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", *packages)
    if names := missing(OURS):
        need("npm", names, "Azurite needs Node.js with npm (Debian's packages nodejs and npm).")
        say(f"installing Azurite {AZURITE} into {FOLDER}, about half a minute")
        install_azurite()


def install_azurite() -> None:
    new, cache = FOLDER / "azurite.new", FOLDER / "npm-cache"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    run(
        *("npm", "install", "--prefix", new, "--cache", cache),
        *("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"),
        f"azurite@{AZURITE}",
    )
    shutil.rmtree(cache)
    shutil.rmtree(FOLDER / "azurite", ignore_errors=True)
    new.rename(FOLDER / "azurite")


def apt_get(*arguments: str) -> None:
    run(
        *("apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=300", *arguments),
        DEBIAN_FRONTEND="noninteractive",
    )


def need(tool: str, for_what: list[str], reason: str) -> None:
    if find(tool) is None:
        raise MissingServerError(for_what, reason)


def run(*command: str | Path, **environment: str) -> None:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout}")


def say(what: str) -> None:
    print(f"servers: {what}", flush=True)


if __name__ == "__main__":
    try:
        install()
    except MissingServerError as error:
        sys.exit(str(error))
