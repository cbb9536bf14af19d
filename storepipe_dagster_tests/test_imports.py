"""Which room may know which, what is documented, and that importing does nothing else."""

import ast
import gc
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

PACKAGE = "storepipe_dagster"
FOLDER = Path(__file__).parents[1] / PACKAGE
LAYERS = ("raw", "mysql", "relational", "trusted", "refined")
ON_TOP = (
    "graph",
    "jobs",
    "schedules",
    "sensors",
    "messages",
    "failures",
    "standing",
    "standing_checks",
    "status_command",
    "turns",
    "runs",
    "instance",
    "run_launcher",
    "cli",
    "store",
)

IMPORT_AND_TELL = """
import sys

def tell(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "os.mkdir", "os.rename"):
        print(event, *arguments[:2])
    if event == "open" and set(str(arguments[1])) & set("wax+"):
        print(event, arguments[0])

sys.addaudithook(tell)
import storepipe_dagster.definitions
"""


# What takes a second to import, and who does without it.
WITHOUT = {
    "storepipe_dagster.cli": ["dagster", "duckdb", "pydantic", "pyarrow"],
    "storepipe_dagster.resources.lake_sql": [
        "dagster",
        "pyspark",
        "pandas",
        "pyarrow",
        "sqlalchemy",
    ],
    "storepipe_dagster.history.listing": ["dagster", "pyspark", "pandas", "sqlalchemy"],
    "storepipe_dagster.definitions": [
        "pandas",
        "jinja2",
        "vl_convert",
        "dagster_pyspark",
        "pysail",
    ],
}


def name_of(path):
    parts = [PACKAGE, *path.relative_to(FOLDER).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(FOLDER.rglob("*.py"))}


@cache
def imports_of(module):
    """Everything that a module imports, by full name."""
    imported = set()
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            ours = full & MODULES.keys()
            imported |= ours | ({node.module} if len(ours) < len(full) else set())
    return imported


@cache
def all_imports_of(module):
    """What a module imports, and what the package's modules among that import in turn."""
    found, waiting = set(), {module}
    while waiting:
        new = imports_of(waiting.pop()) - found
        found |= new
        waiting |= new & MODULES.keys()
    return found


@cache
def tree_of(module):
    # Up to Python 3.11.4 a collection in the middle lets another thread parse, which mixes them up.
    gc.disable()
    try:
        return ast.parse(MODULES[module].read_text())
    finally:
        gc.enable()


def room(name):
    return {module for module in MODULES if f"{module}.".startswith(f"{PACKAGE}.{name}.")}


def violations(modules, forbidden, imports=imports_of):
    """Pairs of a module and what it must not import."""
    assert modules
    return [
        (module, imported)
        for module in sorted(modules)
        for imported in sorted(imports(module))
        if any(f"{imported}.".startswith(f"{name}.") for name in forbidden)
    ]


def ours(*names):
    return [f"{PACKAGE}.{name}" for name in names]


def test_only_what_runs_the_graph_imports_the_definitions():
    users = {module for module in MODULES if violations({module}, ours("definitions"))}

    assert users <= {f"{PACKAGE}.runs", f"{PACKAGE}.cli"}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_no_other_layer_and_nothing_on_top(layer):
    others = ours(*(f"layers.{other}" for other in LAYERS if other != layer))
    on_top = ours(*ON_TOP, "resources.deployments")

    assert violations(room(f"layers.{layer}"), [*others, *on_top]) == []


def test_every_layer_is_known_here():
    folders = {
        path.name for path in (FOLDER / "layers").iterdir() if (path / "__init__.py").exists()
    }

    assert folders == set(LAYERS)


def test_transforms_schemas_and_plain_values_know_no_dagster():
    plain = {module for module in MODULES if module.endswith((".transforms", ".schemas"))} | set(
        ours("columns", "captures", "times", "errors")
    )
    dagster = {name for module in MODULES for name in imports_of(module)}
    dagster = {name for name in dagster if name.split(".")[0].startswith("dagster")}
    assert {"dagster", "dagster_pyspark"} <= dagster

    assert violations(plain, dagster, all_imports_of) == []


@pytest.mark.parametrize("services", ["resources", "io_managers"])
def test_services_import_no_layer_and_nothing_on_top(services):
    on_top = ours("layers", *ON_TOP)

    assert violations(room(services), on_top, all_imports_of) == []


def test_io_managers_import_no_resources():
    assert violations(room("io_managers"), ours("resources"), all_imports_of) == []


def test_the_store_knows_of_the_pipeline_only_its_errors():
    known = {*room("store"), *ours("errors")}

    assert [
        (module, imported)
        for module, imported in violations(room("store"), [PACKAGE])
        if imported not in known
    ] == []


@pytest.mark.parametrize("module", [PACKAGE, *ours(*(f"layers.{layer}" for layer in LAYERS))])
def test_a_room_is_entered_without_importing_anything(module):
    assert imports_of(module) == set()


def test_every_module_tells_what_lives_in_it():
    assert [module for module in MODULES if not ast.get_docstring(tree_of(module))] == []


def test_every_public_function_and_class_is_described():
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    undescribed = [
        f"{module}.{node.name}"
        for module in MODULES
        for holder in [tree_of(module), *public_classes(tree_of(module))]
        for node in holder.body
        if isinstance(node, kinds) and not node.name.startswith("_")
        if not ast.get_docstring(node)
    ]

    assert undescribed == []


def public_classes(tree):
    return [
        node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]


def test_importing_the_definitions_writes_nothing_and_calls_nobody(tmp_path):
    here, home, temporary = tmp_path / "here", tmp_path / "home", tmp_path / "temporary"
    here.mkdir()
    temporary.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(FOLDER.parent),
        "STOREPIPE_HOME": str(home),
        "TMPDIR": str(temporary),
    }

    done = subprocess.run(
        [sys.executable, "-c", IMPORT_AND_TELL],
        cwd=here,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [*here.iterdir(), *temporary.iterdir()] == []
    assert not home.exists()


@pytest.mark.parametrize("module", WITHOUT)
def test_a_module_does_without_what_is_slow_to_import(module):
    code = f"import sys, {module}; print(*sorted({{*{WITHOUT[module]}}} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
