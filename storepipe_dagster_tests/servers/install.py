"""Installs what the tests need beside Python's packages: `python3 …/servers/install.py`.

It checks the machine first: where something is missing that it may not install, it prints one
message and installs nothing. Packages of Debian or Ubuntu go where they belong, the rest into
`.servers`; what is there already is used. MySQL is unpacked, with its own libraries, into
`.servers`, and the machine's packages stay as they are; where it cannot be had, MariaDB stands in
for it, but not where CI is set. Uses the standard library only, and runs before anything else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Iterable, Sequence  # noqa: UP035 - an old Python must be able to say so

TOP = Path(__file__).parents[2]
FOLDER = TOP / ".servers"
UV = TOP / ".uv" / "bin" / "uv"  # what pip is for
OLDEST_PYTHON = (3, 10)
OLDEST_JAVA = 17  # of Spark 4
OLDEST_NODE = 18  # of Azurite
AZURITE = "3.37.0"
PIP, JAVA, NODE = "pip", "java", "node"
# Which package of Debian brings which program.
DEBIAN = {
    PIP: "python3-pip",
    JAVA: "openjdk-17-jre-headless",
    NODE: "nodejs",
    "npm": "npm",
    "mariadbd": "mariadb-server-core",
    "mariadb-install-db": "mariadb-server-core",
    "mariadb": "mariadb-client-core",
    "my_print_defaults": "mariadb-client-core",
    "setpriv": "util-linux",
    "chromium": "chromium",
    "postgres": "postgresql",
    "cc": "gcc",
    "gencat": "libc6-dev",  # which depends on the package of this program, and brings C's headers
}
# Later releases have another one.
ALTERNATIVES = {
    "openjdk-17-jre-headless": ["openjdk-21-jre-headless", "default-jre-headless"],
    "mariadb-server-core": ["mariadb-server-core-10.6"],
    "mariadb-client-core": ["mariadb-client-core-10.6"],
}
AZURITE_FOLDER = FOLDER / f"azurite-{AZURITE}"
OURS = {
    "azurite-blob": AZURITE_FOLDER / "node_modules" / ".bin" / "azurite-blob",
    "mysqld": FOLDER / "mysql" / "mysqld",
}
NO_MYSQL = FOLDER / "mysql-cannot-be-had"
KEYS = Path("/usr/share/keyrings")
ARCHIVES = {  # of MySQL: the key, the release if not the machine's own, the names of the package
    "Debian": (KEYS / "debian-archive-keyring.gpg", "sid", ["mysql-server-core"]),
    "Ubuntu": (
        KEYS / "ubuntu-archive-keyring.gpg",
        None,
        ["mysql-server-core", "mysql-server-core-8.0"],
    ),
}
# An ordinary user's PATH may lack the folders of servers; Debian's PostgreSQL is on nobody's.
SEARCH_PATH = os.pathsep.join(
    [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)
BY_HAND = """\
The tests run on real servers. What is missing: {missing}.
{reason}
What to install, as root, on Debian or Ubuntu:
    apt-get install --no-install-recommends {packages}
Then run `make test` again."""
WITHOUT_MYSQL = "MySQL cannot be had on this machine: MariaDB stood in for it."
MYSQLD = """\
#!/bin/sh
# MySQL on the libraries that it was built for, which are newer than the machine's.
here=$(dirname "$(realpath "$0")")
exec "$here/{loader}" --library-path "{libraries}" "$here/usr/sbin/mysqld" "$@" \\
    --basedir="$here/usr"
"""


class MissingServerError(RuntimeError):
    """A program that the tests need is not there; the message tells how to install it."""

    def __init__(self, missing: Iterable[str], reason: str) -> None:
        packages = " ".join(dict.fromkeys(DEBIAN.values()))
        told = BY_HAND.format(missing=", ".join(missing), reason=reason, packages=packages)
        super().__init__(told)


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


def missing_packages() -> dict[str, str]:
    """The package by what lacks here: a program, or one that is new enough."""
    missing = {name: package for name, package in DEBIAN.items() if not _is_there(name)}
    if find("azurite-blob"):
        missing.pop("npm", None)
    return missing


def _is_there(name: str) -> bool:
    if name == PIP:
        return UV.exists() or run_quietly(sys.executable, "-m", "pip", "--version") is not None
    if name == JAVA:
        home = os.environ.get("JAVA_HOME")
        java = Path(home) / "bin" / "java" if home else find(JAVA)
        return java is not None and version_of(java, "-version") >= OLDEST_JAVA
    if name == NODE:
        node = find(NODE)
        return node is not None and version_of(node, "--version") >= OLDEST_NODE
    return find(name) is not None


def version_of(command: Path, option: str) -> int:
    """The first number of its version, as 17, or 8 for Java 1.8; 0 if it does not run."""
    told = run_quietly(command, option) or ""
    found = re.search(r"(?:1\.(?=[0-8]\.))?(\d+)", told)
    return int(found.group(1)) if found else 0


def check() -> None:
    """See whether all can be installed that is missing; raises `MissingServerError`."""
    missing = missing_packages()
    if not missing:
        return
    names = [f"{name} ({package})" for name, package in missing.items()]
    if find("apt-get") is None:
        raise MissingServerError(names, "This machine has no apt-get.")
    if as_root() is None:
        raise MissingServerError(names, "Only root may install packages, and there is no sudo.")


def as_root() -> list[str] | None:
    """What stands before a command of root's; nothing where there is no way to be root."""
    if os.geteuid() == 0:
        return []
    sudo = find("sudo")
    if sudo is None:
        return None
    asks = sys.stdin is not None and sys.stdin.isatty()
    return [str(sudo)] if asks or run_quietly(sudo, "-n", "true") is not None else None


def install() -> None:
    """Install what is missing; raises `MissingServerError` where that is not allowed."""
    check()
    missing = missing_packages()
    if missing:
        say("asking what packages there are")
        apt_get("update")
        packages = list(dict.fromkeys(map(newest, missing.values())))
        say(f"installing {', '.join(packages)}")
        apt_get("install", "--yes", "--no-install-recommends", *packages)
        if missing_packages():
            reason = "This release of Debian or Ubuntu has no newer ones: install them otherwise."
            raise MissingServerError(missing_packages(), reason)
    if find("azurite-blob") is None:
        say(f"installing Azurite {AZURITE}, about half a minute")
        install_azurite(fresh_folder("azurite"))
    if find("mysqld") is None:
        install_mysql_or_do_without()


def newest(package: str) -> str:
    """The package, or the one that this release has in its place."""
    for name in [package, *ALTERNATIVES.get(package, [])]:
        told = run("apt-cache", "policy", name)
        if "Candidate:" in told and "Candidate: (none)" not in told:
            return name
    return package


def install_azurite(folder: Path) -> None:
    cache = folder / "npm-cache"
    run(
        *("npm", "install", "--prefix", folder, "--cache", cache),
        *("--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"),
        f"azurite@{AZURITE}",
    )
    shutil.rmtree(cache)
    folder.rename(AZURITE_FOLDER)


def install_mysql_or_do_without() -> None:
    """Where MySQL cannot be had MariaDB stands in for it; with CI set that is an error."""
    in_ci = bool(os.environ.get("CI"))
    if NO_MYSQL.exists() and not in_ci:
        return
    say("unpacking MySQL")
    try:
        install_mysql(fresh_folder("mysql"))
    except InstallError as error:
        if in_ci:
            raise
        NO_MYSQL.write_text(str(error))
        say(f"MySQL cannot be had: MariaDB stands in for it. {NO_MYSQL} says why; delete it to try")
    else:
        NO_MYSQL.unlink(missing_ok=True)


def install_mysql(folder: Path) -> None:
    """Let an apt of our own, which knows of no installed package, fetch MySQL and all it needs."""
    address, distribution = archive_of_this_machine()
    key, release, names = ARCHIVES[distribution]
    apt = folder / "apt"
    for name in ("sources", "state", "cache"):
        (apt / name).mkdir(parents=True)
    (apt / "status").touch()
    (apt / "sources" / "mysql.list").write_text(
        f"deb [signed-by={key}] {address} {release or codename()} main\n"
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
        "--option=Acquire::Retries=2",
        f"--option=APT::Sandbox::User={'root' if os.geteuid() == 0 else ''}",
    )
    run(*APT_GET, "update", *own)
    options = ("install", "--yes", "--download-only", "--no-install-recommends", *own)
    first, *others = names
    try:
        run(*APT_GET, *options, first)
    except InstallError:
        if not others:
            raise
        run(*APT_GET, *options, *others)
    for package in (apt / "cache" / "archives").glob("*.deb"):
        if "perl" not in package.name:  # scripts that we do not run
            run("dpkg-deb", "--extract", package, folder)
    shutil.rmtree(apt)
    loaders = [*folder.glob("usr/lib/*/ld-linux*.so.*"), *folder.glob("lib/*/ld-linux*.so.*")]
    if not loaders:
        raise InstallError("MySQL's packages came without the C library")
    loader = loaders[0].relative_to(folder)
    libraries = dict.fromkeys([loader.parent, Path("usr") / "lib" / loader.parent.name])
    start = folder / "mysqld"
    start.write_text(
        MYSQLD.format(loader=loader, libraries=":".join(f"$here/{path}" for path in libraries))
    )
    start.chmod(0o755)
    run(start, "--no-defaults", "--version")
    folder.rename(FOLDER / "mysql")


def archive_of_this_machine() -> tuple[str, str]:
    """Where this machine's apt has its packages from, and whether that is Debian or Ubuntu."""
    described = run(
        *("apt-get", "indextargets", "--format", "$(ORIGIN) $(LABEL) $(REPO_URI)"),
        "Identifier: Packages",
    )
    for line in described.splitlines():
        origin, label, address = line.split(" ", 2)
        if origin == label and origin in ARCHIVES:
            return address, origin
    raise InstallError("apt knows of no archive; perhaps root must run `apt-get update`")


def codename() -> str:
    """The name of this machine's release."""
    found = re.search(r"^VERSION_CODENAME=(\w+)", Path("/etc/os-release").read_text(), re.MULTILINE)
    if found is None:
        raise InstallError("/etc/os-release tells no VERSION_CODENAME")
    return found.group(1)


def fresh_folder(name: str) -> Path:
    """Where to make what is then renamed, so that an interrupted installation leaves nothing."""
    folder = FOLDER / f"{name}.new"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


APT_GET = ("apt-get", "--quiet=2", "--option=DPkg::Lock::Timeout=300")


def apt_get(*arguments: str) -> None:
    """Change the machine's packages."""
    root = as_root() or []
    run(*root, "env", "DEBIAN_FRONTEND=noninteractive", *APT_GET, *arguments)


def run(*command: str | Path) -> str:
    """Run a command to its end; gives what it wrote."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode != 0:
        raise InstallError(f"{' '.join(map(str, command))} failed:\n{done.stdout}")
    return done.stdout


def run_quietly(*command: str | Path) -> str | None:
    """What a command wrote; nothing where it failed or cannot run."""
    try:
        return run(*command)
    except (OSError, InstallError):
        return None


def say(what: str) -> None:
    print(f"servers: {what}", flush=True)


def main(arguments: Sequence[str]) -> None:
    """With `check` only see whether all that is missing can be installed."""
    if sys.version_info < OLDEST_PYTHON:
        newer = ".".join(map(str, OLDEST_PYTHON))
        raise InstallError(
            f"storepipe needs Python {newer} or newer, and this is {sys.version.split()[0]}. "
            f"Install one, and name it: make test PYTHON=python{newer}"
        )
    check() if list(arguments) == ["check"] else install()


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (MissingServerError, InstallError) as error:
        sys.exit(str(error))
