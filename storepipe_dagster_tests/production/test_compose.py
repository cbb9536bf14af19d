"""Tests of compose.yaml and the Containerfile, as far as they can be held to something here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from storepipe_dagster.instance import SENSOR_SECONDS
from storepipe_dagster_tests.production.services import COMPOSE, PRODUCTION

TOP = Path(__file__).parents[2]
CONTAINERFILE = (PRODUCTION / "Containerfile").read_text().replace("\\\n", " ")
SERVICES = COMPOSE["services"]
OURS = ("code-server", "webserver", "daemon")


def instructions(kind):
    return re.findall(rf"^{kind} +(.*)$", CONTAINERFILE, re.MULTILINE)


def variables_of(node):
    """The environment variables that a part of dagster.yaml asks for."""
    if isinstance(node, list):
        return {name for value in node for name in variables_of(value)}
    if isinstance(node, dict):
        return {node["env"]} if node.keys() == {"env"} else variables_of(list(node.values()))
    return set()


@pytest.mark.parametrize("service", OURS)
def test_each_service_has_the_variables_of_dagster_yaml(service):
    wanted = variables_of(yaml.safe_load((PRODUCTION / "dagster.yaml").read_text()))

    assert {"DAGSTER_POSTGRES_PASSWORD", "AZURE_STORAGE_ACCOUNT_NAME"} <= wanted
    assert wanted <= SERVICES[service]["environment"].keys()


@pytest.mark.parametrize("service", OURS)
def test_sensors_may_take_as_long_as_on_a_laptop(service):
    environment = SERVICES[service]["environment"]

    assert environment["DAGSTER_SENSOR_GRPC_TIMEOUT_SECONDS"] == str(SENSOR_SECONDS)


def test_only_the_code_server_has_the_secrets_of_the_pipeline():
    assert [name for name, service in SERVICES.items() if "env_file" in service] == ["code-server"]


def test_no_secret_stands_in_the_file_and_none_has_a_blank_default():
    secrets = {
        (name, variable): value
        for name, service in SERVICES.items()
        for variable, value in service["environment"].items()
        if re.search("PASSWORD|SECRET|KEY|TOKEN", variable)
    }

    assert len(secrets) == 7
    assert [key for key, value in secrets.items() if value and not value.startswith("${")] == []
    assert [key for key, value in secrets.items() if value and ":?" not in value] == []


def test_the_webserver_is_ours_and_knows_its_public_name():
    webserver = SERVICES["webserver"]

    assert webserver["command"][:3] == ["python", "-m", "storepipe_dagster.webserver"]
    assert "STOREPIPE_DAGSTER_URL" in webserver["environment"]


def test_only_this_machine_reaches_the_webserver_and_nobody_the_rest():
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "webserver": ["127.0.0.1:3000:3000"]
    }


@pytest.mark.parametrize("service", SERVICES)
def test_each_service_comes_back_and_tells_how_it_is(service):
    assert SERVICES[service]["restart"] == "unless-stopped"
    assert SERVICES[service]["healthcheck"]["test"][0] == "CMD"


def test_what_is_to_outlive_a_container_is_on_a_volume():
    mounted = {
        name: service["volumes"] for name, service in SERVICES.items() if "volumes" in service
    }

    assert mounted == {
        "postgres": ["postgres:/var/lib/postgresql/data"],
        "code-server": ["home:/var/lib/storepipe"],
    }
    assert COMPOSE["volumes"].keys() == {"postgres", "home"}


def test_paths_of_the_compose_file_lead_to_what_they_name():
    build = SERVICES["code-server"]["build"]

    assert (PRODUCTION / build["context"]).resolve() == TOP
    assert TOP / build["dockerfile"] == PRODUCTION / "Containerfile"
    assert (PRODUCTION / SERVICES["code-server"]["env_file"]).resolve() == TOP / ".env"


def test_the_image_is_made_of_files_that_are_there_and_that_the_builder_gets():
    copied = [
        source
        for line in instructions("COPY")
        if not line.startswith("--from")
        for source in line.split()[:-1]
    ]
    sent = (TOP / ".dockerignore").read_text().splitlines()

    assert copied
    assert [source for source in copied if not (TOP / source).exists()] == []
    assert "*" in sent
    assert [source for source in copied if f"!{source.split('/')[0]}" not in sent] == []


def test_services_run_as_nobody_special_on_an_image_of_no_named_registry():
    assert instructions("USER") == ["storepipe"]
    assert instructions("FROM") == ["${PYTHON} AS build", "${PYTHON}"]
    assert "/" not in instructions("ARG")[0]


def test_the_image_is_installed_as_the_environment_is():
    (uv,) = [line for line in instructions("RUN") if line.startswith("pip install")]
    assert "--require-hashes --requirement requirements-build.lock" in uv
    (libraries,) = [line for line in instructions("RUN") if " --constraints" in line]
    assert "--require-hashes" in libraries
    assert "--extra production" in libraries


def test_whatever_is_built_is_built_by_what_is_pinned():
    makefile = (TOP / "Makefile").read_text().replace("\\\n", " ")
    makefile = makefile.replace("$(BUILD)", "--build-constraints requirements-build.lock")
    lines = [*instructions("RUN"), *makefile.splitlines()]
    installing = [line for line in lines if re.search(r"\buv pip (install|sync)|UV\) pip", line)]
    assert len(installing) == 5
    assert [
        line for line in installing if "--build-constraints requirements-build" not in line
    ] == []


@pytest.mark.skipif(
    shutil.which("docker") is None
    or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    != 0,
    reason="docker compose is not there",
)
def test_docker_compose_takes_the_file(tmp_path):
    secrets = tmp_path / ".env"
    secrets.write_text("DAGSTER_POSTGRES_PASSWORD=secret\nAZURE_STORAGE_ACCOUNT_NAME=name\n")
    copy = tmp_path / "storepipe_dagster" / "production" / "compose.yaml"
    copy.parent.mkdir(parents=True)
    shutil.copy(PRODUCTION / "compose.yaml", copy)

    command = ["docker", "compose", "--env-file", secrets, "--file", copy, "config", "--quiet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
