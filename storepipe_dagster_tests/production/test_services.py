"""Production's services together, on a real PostgreSQL: its compose file, without containers."""

import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import urlopen

import pytest

from storepipe_dagster.leases import GONE
from storepipe_dagster.store.process import store_process
from storepipe_dagster_tests.production.services import Deployment, Service
from storepipe_dagster_tests.test_definitions import GROUPS, lines

pytestmark = pytest.mark.slow  # webserver and daemon are run quickly in `end_to_end/operated`

ASSETS = {key.removesuffix(" [day]") for group in GROUPS.values() for key in lines(group)}

LIST = "{ assetNodes { assetKey { path } } }"
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } } }"
LOCATION = """{ workspaceOrError { ... on Workspace { locationEntries {
    name locationOrLoadError { __typename } } } } }"""
RUN = """query ($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"""
RUNS = """query ($of: String!) { runsOrError(filter: {
    tags: [{key: "dagster/root_run_id", value: $of}] }) { ... on Runs {
    results { runId status } } } }"""
MESSAGES = """query ($run: ID!) { logsForRun(runId: $run) { ... on EventConnection {
    events { ... on MessageEvent { message } } } } }"""
LAUNCH = """mutation ($asset: [String!]!) { launchRun(executionParams: {
    mode: "default", selector: {
        repositoryLocationName: "storepipe", repositoryName: "__repository__",
        jobName: "__ASSET_JOB", assetSelection: [{path: $asset}] } }) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message } } }"""


class Gate(ThreadingHTTPServer):
    """The way to a store, which can be held shut: a capture waits in it."""

    def __init__(self, url):
        super().__init__(("127.0.0.1", 0), GateKeeper)
        self.url = url
        self.opened, self.reached = threading.Event(), threading.Event()

    def shut(self):
        self.opened.clear()
        self.reached.clear()


class GateKeeper(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.reached.set()
        self.server.opened.wait()
        with urlopen(f"{self.server.url}{self.path}") as answer:
            body = answer.read()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with suppress(BrokenPipeError):  # of a run that was killed
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextmanager
def open_gate():
    with store_process(carts=20, days=2, seed=1) as url, Gate(url) as gate:
        threading.Thread(target=gate.serve_forever, daemon=True).start()
        gate.opened.set()
        yield gate
        gate.opened.set()
        gate.shutdown()


@pytest.fixture(scope="module")
def gate():
    with open_gate() as gate:
        yield gate


@pytest.fixture(scope="module")
def database(postgres):
    return postgres.create_database()


@pytest.fixture(scope="module")
def deployment(database, gate, tmp_path_factory):
    url = f"http://127.0.0.1:{gate.server_port}"
    return Deployment(tmp_path_factory.mktemp("production"), database, url)


@pytest.fixture(scope="module")
def services(deployment):
    """All of them, in the order of compose.yaml; each is well by its own health check."""
    with ExitStack() as running:
        yield {
            name: running.enter_context(Service(name, deployment))
            for name in ("code-server", "webserver", "daemon")
        }


@pytest.fixture
def code_server(services):
    server = services["code-server"]
    if not server.running:
        server.start()
    return server


@pytest.fixture
def shut_gate(gate):
    gate.shut()
    yield gate
    gate.opened.set()


def launch(deployment, *asset):
    launched = deployment.ask(LAUNCH, asset=asset)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    return launched["run"]["runId"]


def status(deployment, run_id):
    return deployment.ask(RUN, run=run_id)["runOrError"]["status"]


def wait_for_status(deployment, run_id, *wanted):
    return deployment.wait_for(
        f"run {run_id}", lambda: status(deployment, run_id), lambda found: found in wanted
    )


def location(deployment):
    (entry,) = deployment.ask(LOCATION)["workspaceOrError"]["locationEntries"]
    return entry["locationOrLoadError"]["__typename"]


def test_the_webserver_shows_the_assets_of_the_code_server(deployment, services):
    nodes = deployment.ask(LIST)["assetNodes"]

    assert {"/".join(node["assetKey"]["path"]) for node in nodes} == ASSETS


def test_the_daemon_is_healthy(deployment, services):
    def daemons():
        return deployment.ask(DAEMONS)["instance"]["daemonHealth"]["allDaemonStatuses"]

    needed = deployment.wait_for(
        "the daemon",
        lambda: [daemon for daemon in daemons() if daemon["required"]],
        lambda found: all(daemon["healthy"] for daemon in found),
    )

    assert {daemon["daemonType"] for daemon in needed} >= {
        "SCHEDULER",
        "SENSOR",
        "QUEUED_RUN_COORDINATOR",
        "MONITORING",
        "EVENT_LOG_CONSUMER",
    }


def test_a_run_launched_in_the_webserver_succeeds_and_stands_in_postgres(
    deployment, code_server, database
):
    run_id = launch(deployment, "raw", "products")

    assert wait_for_status(deployment, run_id, "SUCCESS", "FAILURE") == "SUCCESS"
    assert database.ask("SELECT status FROM runs WHERE run_id = %s", [run_id]) == [("SUCCESS",)]
    assert list((deployment.home / "lake" / "raw" / "products").glob("*.json"))
    assert not (deployment.dagster_home / "history").exists()


def test_a_code_server_told_to_stop_lets_its_run_end(deployment, code_server, shut_gate):
    run_id = launch(deployment, "raw", "products")
    assert shut_gate.reached.wait(120)

    stopping = threading.Thread(target=code_server.stop)
    stopping.start()
    time.sleep(3)
    assert stopping.is_alive()
    shut_gate.opened.set()
    stopping.join()

    assert wait_for_status(deployment, run_id, "SUCCESS", "FAILURE") == "SUCCESS"
    assert not code_server.is_well()


def test_what_died_with_its_code_server_starts_again_and_what_waited_for_it_too(
    deployment, code_server, services, shut_gate, database
):
    died = launch(deployment, "raw", "products")
    assert shut_gate.reached.wait(120)
    services["daemon"].stop()
    waiting = launch(deployment, "raw", "users")

    code_server.kill()
    services["daemon"].start()

    deployment.wait_for("the code", lambda: location(deployment), lambda of: of == "PythonError")
    deployment.wait_for(
        "the run in the queue",
        lambda: messages(deployment, waiting),
        lambda told: "re-submitting the run into the queue" in told,
    )
    lease = {"died": f"storepipe/lease/{died}"}
    database.ask("UPDATE kvs SET value = '0' WHERE key = %(died)s RETURNING key", lease)
    time.sleep(5)  # some looks of run monitoring
    assert not code_server.is_well()
    assert status(deployment, died) == "STARTED"  # without its code it could not start again

    shut_gate.opened.set()
    code_server.start()

    assert wait_for_status(deployment, died, "SUCCESS", "FAILURE") == "FAILURE"
    assert GONE in messages(deployment, died)
    deployment.wait_for(
        "the run in its place", lambda: in_its_place(deployment, died), {"SUCCESS"}.__eq__
    )
    assert wait_for_status(deployment, waiting, "SUCCESS", "FAILURE") == "SUCCESS"
    assert location(deployment) == "RepositoryLocation"


def messages(deployment, run_id):
    events = deployment.ask(MESSAGES, run=run_id)["logsForRun"]["events"]
    return "\n".join(event.get("message", "") for event in events)


def in_its_place(deployment, run_id):
    """How the runs stand that were started again after this one."""
    runs = deployment.ask(RUNS, of=run_id)["runsOrError"]["results"]
    return {run["status"] for run in runs if run["runId"] != run_id}
