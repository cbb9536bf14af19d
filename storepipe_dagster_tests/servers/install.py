"""Installs what the servers of the tests need: `python -m storepipe_dagster_tests.servers.install`.

Debian's packages go where Debian puts them, the rest into `.servers`; what is there already is
used. MySQL is in Debian's unstable release only: it is unpacked, with its own libraries, into
`.servers`, and the machine's packages stay as they are. Uses the standard library only.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
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
    "postgres": "postgresql",
    "cc": "gcc",
    "gencat": "libc6-dev",  # which depends on the package of this program, and brings C's headers
}
AZURITE_FOLDER = FOLDER / f"azurite-{AZURITE}"
OURS = {
    "azurite-blob": AZURITE_FOLDER / "node_modules" / ".bin" / "azurite-blob",
    "mysqld": FOLDER / "mysql" / "mysqld",
}
DEBIAN_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# An ordinary user's PATH may lack the folders of servers; Debian's PostgreSQL is on nobody's.
SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)
BY_HAND = f"""\
The tests run on real servers. What is missing: {{missing}}.
{{reason}}
By hand:
    apt-get install --no-install-recommends {" ".join(dict.fromkeys(DEBIAN.values()))} nodejs npm
    npm install --prefix {AZURITE_FOLDER} azurite@{AZURITE}
    a MySQL server of version 8 or later, started by {OURS["mysqld"]}
Then run `make test` again."""
MYSQLD = """\
#!/bin/sh
# MySQL on the libraries that it was built for, which are newer than the machine's.
here=$(dirname "$(realpath "$0")")
exec "$here/{loader}" --library-path "$here/{libraries}" "$here/usr/sbin/mysqld" "$@" \\
    --basedir="$here/usr"
"""


class MissingServerError(RuntimeError):
    """A program that the tests need is not there; the message tells how to install it."""

    def __init__(self, missing: Iterable[str], reason: str) -> None:
        super().__init__(BY_HAND.format(missing=", ".join(missing), reason=reason))


class InstallError(RuntimeError):
    """An installation failed; the message has what the command said."""


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
        raise MissingServerError([name], "`make servers` installs what it may install.")
    return found


def install() -> None:
    """Install what is missing; raises `MissingServerError` where that is not allowed."""
    packages = dict.fromkeys(package for name, package in DEBIAN.items() if find(name) is None)
    mysql = [] if find("mysqld") else ["mysql-server"]
    if packages or mysql:
        need("apt-get", [*packages, *mysql], "This machine has no apt-get.")
        if os.geteuid() == 0:
            say("asking what Debian has")
            apt_get("update")
    if packages:
        if os.geteuid() != 0:
            raise MissingServerError(packages, "Only root may install Debian's packages.")
        say(f"installing Debian's {', '.join(packages)}")
        apt_get("install", "--yes", "--no-install-recommends", *packages)
    if find("azurite-blob") is None:
        need("npm", ["azurite"], "Azurite needs Node.js and npm.")
        say(f"installing Azurite {AZURITE}, about half a minute")
        install_azurite(fresh_folder("azurite"))
    if mysql:
        say("unpacking MySQL of Debian's unstable release")
        install_mysql(fresh_folder("mysql"))


def install_azurite(folder: Path) -> None:
    cache = folder / "npm-cache"
    run(
        *("npm", "install", "--prefix", folder, "--cache", cache),
        *("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"),
        f"azurite@{AZURITE}",
    )
    shutil.rmtree(cache)
    folder.rename(AZURITE_FOLDER)


def install_mysql(folder: Path) -> None:
    """Let an apt of our own, which knows of no installed package, fetch MySQL and all it needs."""
    apt = folder / "apt"
    for name in ("sources", "state", "cache"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources" / "unstable.list").write_text(
        f"deb [signed-by={DEBIAN_KEYS}] {debian_address()} sid main\n"
    )
    own = (
        "--option=Dir::Etc::sourcelist=/dev/null",
        f"--option=Dir::Etc::sourceparts={apt / 'sources'}",
        "--option=Dir::Etc::preferences=/dev/null",
        "--option=Dir::Etc::preferencesparts=/dev/null",
        f"--option=Dir::State={apt / 'state'}",
        f"--option=Dir::State::status={apt / 'status'}",
        f"--option=Dir::Cache={apt / 'cache'}",
        "--option=Acquire::Languages=none",
        "--option=APT::Sandbox::User=root",
    )
    apt_get("update", *own)
    apt_get(
        *("install", "--yes", "--download-only", "--no-install-recommends", *own),
        "mysql-server-core",
    )
    for package in (apt / "cache" / "archives").glob("*.deb"):
        if "perl" not in package.name:  # scripts that we do not run
            run("dpkg-deb", "--extract", package, folder)
    shutil.rmtree(apt)
    loader = next(folder.glob("usr/lib/*-linux-gnu*/ld-linux*.so.*")).relative_to(folder)
    start = folder / "mysqld"
    start.write_text(MYSQLD.format(loader=loader, libraries=loader.parent))
    start.chmod(0o755)
    run(start, "--no-defaults", "--version")
    folder.rename(FOLDER / "mysql")


def debian_address() -> str:
    """Where this machine's apt has Debian from."""
    described = run(
        *("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"),
        "Identifier: Packages",
    )
    for line in described.splitlines():
        origin, label, address = line.split(" ", 2)
        if origin == label == "Debian":
            return address
    raise MissingServerError(
        ["mysql-server"], "apt knows of no Debian archive; perhaps root must run `apt-get update`."
    )


def fresh_folder(name: str) -> Path:
    """Where to make what is then renamed, so that an interrupted installation leaves nothing."""
    folder = FOLDER / f"{name}.new"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def apt_get(*arguments: str) -> None:
    run(
        *("apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=300", *arguments),
        DEBIAN_FRONTEND="noninteractive",
    )


def need(tool: str, for_what: Iterable[str], reason: str) -> None:
    if find(tool) is None:
        raise MissingServerError(for_what, reason)


def run(*command: str | Path, **environment: str) -> str:
    """Run a command to its end; gives what it wrote."""
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise InstallError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def say(what: str) -> None:
    print(f"servers: {what}", flush=True)


if __name__ == "__main__":
    try:
        install()
    except (MissingServerError, InstallError) as error:
        sys.exit(str(error))
