"""What a driver runs: it gives the script `spark`, `sc` and `dbutils`, and tells how it ended.

`bootstrap.py FOLDER SCRIPT PARAMETER...`, with the environment's Python and nothing of this
repository to import. It reads FOLDER/secrets.json and writes FOLDER/end.json. As on a cluster the
script runs as `__main__` and has no `__file__`. Uses the standard library and PySpark only.
"""

import importlib.util
import json
import pathlib
import sys
import traceback
import types

PACKAGE = "storepipe_dagster"


class IllegalArgumentException(Exception):  # noqa: N818 - its name on a cluster
    """What Databricks raises for a secret that is not there."""


class Secrets:
    """`dbutils.secrets`."""

    def __init__(self, values: list[tuple[str, str, str]]) -> None:
        self._values = {(scope, key): value for scope, key, value in values}

    def get(self, scope: str, key: str) -> str:
        try:
            return self._values[scope, key]
        except KeyError:
            raise IllegalArgumentException(
                f"Secret does not exist with scope: {scope} and key: {key}"
            ) from None

    def getBytes(self, scope: str, key: str) -> bytes:  # noqa: N802 - Databricks' name
        return self.get(scope, key).encode()


class DbUtils:
    """`dbutils`, as far as it is here."""

    def __init__(self, secrets: Secrets) -> None:
        self.secrets = secrets


class Spark:
    """`spark`, the session: it begins when it is first used, as most scripts here do without."""

    def __getattr__(self, name: str) -> object:
        from pyspark.sql import SparkSession  # noqa: PLC0415 - takes a second to load

        return getattr(SparkSession.builder.getOrCreate(), name)


class NoSparkContext:
    """`sc`: Spark Connect has none."""

    def __getattribute__(self, name: str) -> object:
        raise RuntimeError(f"sc.{name}: this cluster has Spark Connect only, so no SparkContext")


def main(folder: pathlib.Path, script: str, parameters: list[str]) -> None:
    if importlib.util.find_spec(PACKAGE) is not None:
        raise AssertionError(f"{PACKAGE} can be imported before the script has brought it")
    module = types.ModuleType("__main__")
    vars(module).update(
        spark=Spark(),
        sc=NoSparkContext(),
        dbutils=DbUtils(Secrets(json.loads((folder / "secrets.json").read_text()))),
    )
    sys.modules["__main__"] = module
    sys.argv = [script, *parameters]
    exec(compile(pathlib.Path(script).read_bytes(), script, "exec"), vars(module))


def run() -> int:
    folder, script, *parameters = sys.argv[1:]
    end: dict[str, str | None] = {"error": None, "error_trace": None}
    code = 0
    try:
        main(pathlib.Path(folder), script, parameters)
    except BaseException as error:  # noqa: BLE001 - whatever ends the script is told
        if not (isinstance(error, SystemExit) and error.code in (None, 0)):
            code = 1
            end["error"] = "".join(traceback.format_exception_only(error)).strip()
            end["error_trace"] = traceback.format_exc()
            traceback.print_exc()
    finally:
        package = sys.modules.get(PACKAGE)
        end["code_file"] = getattr(package, "__file__", None)
        pathlib.Path(folder, "end.json").write_text(json.dumps(end))
    return code


if __name__ == "__main__":
    sys.exit(run())
