"""The Python of a cluster's driver: what the runtime brings, and over it the run's libraries.

As on a cluster the libraries lie in a folder of their own, before the runtime's. They are installed
without what they need, as it is the run's business to list that; what is then missing is told.
Environments are kept in `.servers/databricks`, by a hash of all that is in them.
"""

import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from storepipe_dagster.resources.databricks import shipped

TOP = Path(__file__).parents[3]
FOLDER = TOP / ".servers" / "databricks"
OURS = "storepipe-dagster"
PREFERRED_PYTHON = "3.12"  # of runtime 18
RUNTIME = ("pyspark[connect]", "pysail")
BUILD_SECONDS = 600
MISSING = re.compile(r"requires `([A-Za-z0-9._-]+)[^`]*`, but it'?s? (?:is )?not installed")


@dataclass(frozen=True)
class Environment:
    """`missing` is what the installed libraries need and neither they nor the runtime bring."""

    python: Path
    installed: Sequence[str]
    missing: Sequence[str] = ()


class LibraryError(Exception):
    """A library was not installed; `library` is how the run named it."""

    def __init__(self, library: Mapping[str, Any], message: str) -> None:
        super().__init__(message)
        self.library = library


def make_environment(
    libraries: Sequence[Mapping[str, Any]], find: Callable[[str], Path | None]
) -> Environment:
    """The environment with these libraries; `find` tells where the cluster has a file."""
    wanted = [_wanted(library, find) for library in libraries]
    runtime = runtime_environment()
    if not wanted:
        return runtime
    key = _hash(str(runtime.python), *sorted(content for _, content in wanted))
    arguments = [argument for given, _ in wanted for argument in given]
    with _lock(key):
        if not (FOLDER / key).exists():
            try:
                _build(key, arguments, over=runtime)
            except BuildError as error:
                shutil.rmtree(FOLDER / f"{key}.new")
                raise LibraryError(_culprit(libraries, str(error)), str(error)) from None
    return _load(key)


def runtime_environment() -> Environment:
    """What each cluster has by itself."""
    versions = _versions()
    brought = [f"{name}=={versions[name.partition('[')[0]]}" for name in RUNTIME]
    key = "runtime-" + _hash(str(_python()), *brought, *map(str, sorted(versions.items())))
    with _lock(key):
        if not (FOLDER / key).exists():
            constraints = _own_versions(FOLDER / f"{key}.txt")
            _build(key, ["--constraints", str(constraints), *brought])
    return _load(key)


def _versions() -> dict[str, str]:
    """The libraries of the tests' own environment."""
    return {
        distribution.name: distribution.version
        for distribution in importlib.metadata.distributions()
        if distribution.name != OURS
    }


def _own_versions(file: Path) -> Path:
    """The file, with a line for each library of the tests' own environment."""
    file.write_text("\n".join(f"{name}=={version}" for name, version in _versions().items()))
    return file


class BuildError(Exception):
    """What the installer said."""


def _build(key: str, arguments: Sequence[str], over: Environment | None = None) -> None:
    new = FOLDER / f"{key}.new"
    shutil.rmtree(new, ignore_errors=True)
    _uv("venv", "--quiet", "--relocatable", "--python", _python(), new)
    python = new / "bin" / "python"
    alone = ["--no-deps"] if over else []
    if over and not _is_of_the_runtime(python):
        # An older Python lacks some of the versions that are pinned: it gets those of the tests.
        alone += ["--overrides", _own_versions(new.with_suffix(".txt"))]
    install = ("pip", "install", "--quiet", "--compile-bytecode", "--python", python)
    _uv(*install, *alone, *arguments)
    installed = _uv("pip", "freeze", "--python", python).split("\n")[:-1]
    found: dict[str, Any] = {"installed": installed}
    if over:
        found["missing"] = _missing(python, over)
        packages = next((over.python.parents[1] / "lib").glob("python*/site-packages"))
        own = next((new / "lib").glob("python*/site-packages"))
        (own / "databricks_runtime.pth").write_text(f"{packages}\n")
    (new / "environment.json").write_text(json.dumps(found))
    new.rename(FOLDER / key)


def _load(key: str) -> Environment:
    found = json.loads((FOLDER / key / "environment.json").read_text())
    return Environment(FOLDER / key / "bin" / "python", **found)


def _missing(python: Path, over: Environment) -> list[str]:
    done = subprocess.run(
        [_uv_program(), "pip", "check", "--python", python],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    brought = {_canonical(pin.partition("==")[0]) for pin in over.installed}
    names = {_canonical(name) for name in MISSING.findall(done.stdout + done.stderr)}
    return sorted(names - brought)


def _wanted(
    library: Mapping[str, Any], find: Callable[[str], Path | None]
) -> tuple[list[str], str]:
    """What the installer is told, and what tells this library from all others."""
    if "pypi" in library and not library["pypi"].get("repo"):
        package = library["pypi"]["package"]
        return [package], package
    for kind, option in (("requirements", ["--requirements"]), ("whl", [])):
        if kind in library:
            path = find(library[kind])
            if path is None or not path.is_file():
                raise LibraryError(library, f"Could not find the file {library[kind]}")
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            return [*option, str(path)], f"{path.name} {digest}"
    raise LibraryError(library, "This workspace installs from PyPI and from files in it only")


def _culprit(libraries: Sequence[Mapping[str, Any]], told: str) -> Mapping[str, Any]:
    for library in libraries:
        package = library.get("pypi", {}).get("package", "")
        name = re.split(r"[^A-Za-z0-9._-]", package, maxsplit=1)[0]
        if name and re.search(rf"\b{re.escape(_canonical(name))}\b", told.lower()):
            return library
    return libraries[0]


@functools.cache
def _python() -> Path:
    """Python as runtime 18 has it, else as the tests have it."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    candidates = [
        *sorted((pyenv / "versions").glob(f"{PREFERRED_PYTHON}.*/bin/python"), reverse=True),
        shutil.which(f"python{PREFERRED_PYTHON}"),
    ]
    for candidate in candidates:
        if candidate and _works(Path(candidate)):
            return Path(candidate)
    return Path(sys.executable).resolve()


def _is_of_the_runtime(python: Path) -> bool:
    told = subprocess.run([python, "--version"], capture_output=True, text=True, check=True).stdout
    return told.startswith(f"Python {PREFERRED_PYTHON}.")


def _works(python: Path) -> bool:
    """A shim of pyenv may lead nowhere."""
    done = subprocess.run([python, "-c", ""], capture_output=True, check=False)
    return done.returncode == 0


def _uv(*arguments: str | Path) -> str:
    done = subprocess.run(
        [_uv_program(), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        raise BuildError(done.stderr.strip())
    return done.stdout


@functools.cache
def _uv_program() -> str:
    own = TOP / ".uv" / "bin" / "uv"
    found = str(own) if own.exists() else shutil.which("uv")
    if found is None:
        raise BuildError(f"{own} is not there: run `make install`")
    return found


def _lock(key: str) -> filelock.FileLock:
    FOLDER.mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(FOLDER / f"{key}.lock", timeout=BUILD_SECONDS)


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def prepare() -> None:
    """Make what the first launches of the tests would wait for, from DBFS and from a volume."""
    pins = shipped.requirements().encode()
    listed = FOLDER / f"{hashlib.sha256(pins).hexdigest()[:16]}.txt"  # named as a launch does
    FOLDER.mkdir(parents=True, exist_ok=True)
    listed.write_bytes(pins)
    make_environment(shipped.libraries(), lambda _: None)
    make_environment([{"requirements": str(listed)}], lambda _: listed)


if __name__ == "__main__":  # `make cluster`
    prepare()
