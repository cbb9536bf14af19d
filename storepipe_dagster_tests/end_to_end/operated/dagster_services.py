"""Dagster's code server, webserver and daemon as processes, on the history of a home.

They are what `storepipe dev` starts, on free ports, the code server with runs that start quicker
and the daemon with a quicker clock (see `quick_code_server`, `quick_daemon`). Tests ask and start
things as the UI does, by GraphQL.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event
from typing import Any, ClassVar, TypeVar

import dagster as dg
import pytest
import requests
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    ScheduleInstigatorData,
)
from dagster._grpc.client import DagsterGrpcClient

from storepipe_dagster.store.shop import Record
from storepipe_dagster.store.synthetic import SyntheticShop
from storepipe_dagster_tests.end_to_end.commands import Home
from storepipe_dagster_tests.servers.process import Server

DEFINITIONS = "storepipe_dagster.definitions"
QUICK_CODE_SERVER = Path(__file__).with_name("quick_code_server.py")
QUICK_DAEMON = Path(__file__).with_name("quick_daemon.py")
LOCATION = {"repositoryLocationName": DEFINITIONS, "repositoryName": "__repository__"}
DONE = {"SUCCESS", "FAILURE", "CANCELED"}
SECONDS = 120
ASK_SECONDS = 0.4
NOT_LISTED = 99_001

Found = TypeVar("Found")


class Service(Server):
    """One of Dagster's processes; it ends with the runs that it has started."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self.home = home

    def environment(self) -> Mapping[str, str]:
        return {
            **super().environment(),
            **self.home.environment,
            "DAGSTER_HOME": str(self.home.path / "dagster"),
        }

    def _end(self, how: signal.Signals) -> None:
        if self.running:
            os.killpg(self._process.pid, how)
        super()._end(how)


class CodeServer(Service):
    name = "code-server"

    def command(self) -> Sequence[str | Path]:
        own = ("-m", DEFINITIONS, "-h", "127.0.0.1", "-p", str(self.port))
        return [sys.executable, QUICK_CODE_SERVER, *own]

    def answers(self) -> bool:
        try:
            DagsterGrpcClient(host="127.0.0.1", port=self.port).ping("")
        except DagsterUserCodeUnreachableError:
            return False
        return True

    def workspace(self) -> Path:
        """A file that tells the other two where their code is."""
        file = self.folder / "workspace.yaml"
        server = {"host": "127.0.0.1", "port": self.port, "location_name": DEFINITIONS}
        file.write_text(json.dumps({"load_from": [{"grpc_server": server}]}))
        return file


class Webserver(Service):
    name = "webserver"

    def __init__(self, home: Home, workspace: Path) -> None:
        super().__init__(home)
        self.workspace = workspace
        self.url = f"http://127.0.0.1:{self.port}"

    def command(self) -> Sequence[str | Path]:
        own = ("-h", "127.0.0.1", "-p", str(self.port))
        return [sys.executable, "-m", "storepipe_dagster.webserver", *own, "-w", self.workspace]

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/server_info", timeout=5).ok
        except requests.RequestException:
            return False


class Daemon(Service):
    name = "daemon"

    def __init__(self, home: Home, workspace: Path) -> None:
        super().__init__(home)
        self.workspace = workspace

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, QUICK_DAEMON, "run", "-w", self.workspace]

    def answers(self) -> bool:
        return "Instance is configured with the following daemons" in self.log.read_text()


@dataclass(frozen=True)
class Dagster:
    """What a person does in the UI, and sees there, on a home."""

    url: str
    home: Home

    def ask(self, query: str, **variables: Any) -> Any:
        """The one field that a GraphQL query or mutation asks for; errors are raised."""
        answer = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=SECONDS
        ).json()
        assert "errors" not in answer, answer["errors"]
        (found,) = answer["data"].values()
        assert "message" not in found, found["message"]
        return found

    def backfill(self, days: Sequence[str], *keys: str) -> str:
        """Start a backfill of days of assets, as the UI's dialog does; gives its id."""
        return self.ask(
            """mutation ($of: LaunchBackfillParams!) {
                launchPartitionBackfill(backfillParams: $of) {
                    ... on LaunchBackfillSuccess { backfillId }
                    ... on Error { message }
                }
            }""",
            of={"assetSelection": paths(keys), "partitionNames": list(days)},
        )["backfillId"]

    def backfill_again(self, backfill: str) -> str:
        """Start what failed of a backfill again, as the UI's button does; gives the new id."""
        return self.ask(
            """mutation ($of: ReexecutionParams!) {
                reexecutePartitionBackfill(reexecutionParams: $of) {
                    ... on LaunchBackfillSuccess { backfillId }
                    ... on Error { message }
                }
            }""",
            of={"parentRunId": backfill, "strategy": "FROM_FAILURE"},
        )["backfillId"]

    def backfilled(self, backfill: str) -> str:
        """How a backfill ended, once it has."""

        def end() -> str | None:
            status = self.ask(
                """query ($id: String!) { partitionBackfillOrError(backfillId: $id) {
                    ... on PartitionBackfill { status }
                    ... on Error { message }
                } }""",
                id=backfill,
            )["status"]
            return status if status.startswith(("COMPLETED", "FAIL")) else None

        return self.once(end)

    def materialise(self, day: str | None, *keys: str) -> str:
        """Start a run of assets, as the UI does for one day or for none; gives its id."""
        tags = [{"key": "dagster/partition", "value": day}] if day else []
        selector = {**LOCATION, "jobName": "__ASSET_JOB", "assetSelection": paths(keys)}
        return self.ask(
            """mutation ($of: ExecutionParams!) { launchPipelineExecution(executionParams: $of) {
                ... on LaunchRunSuccess { run { runId } }
                ... on Error { message }
            } }""",
            of={
                "selector": selector,
                "mode": "default",
                "runConfigData": {},
                "executionMetadata": {"tags": tags},
            },
        )["run"]["runId"]

    def terminate(self, run: str) -> None:
        """End a run, as the UI's button does."""
        self.ask(
            """mutation ($id: String!) { terminateRun(runId: $id) {
                __typename ... on Error { message }
            } }""",
            id=run,
        )

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        self.ask(
            """mutation ($of: SensorSelector!) { startSensor(sensorSelector: $of) {
                __typename ... on Error { message }
            } }""",
            of={**LOCATION, "sensorName": name},
        )

    def ticks(self, sensor: str) -> list[dict[str, Any]]:
        """The ticks of a sensor that are over, the newest first."""
        found = self.ask(
            """query ($of: SensorSelector!) { sensorOrError(sensorSelector: $of) {
                ... on Sensor { sensorState { ticks { status skipReason timestamp error { message }
                    requestedAssetMaterializationCount } } }
                ... on Error { message }
            } }""",
            of={**LOCATION, "sensorName": sensor},
        )
        ticks = found["sensorState"]["ticks"]
        return [tick for tick in ticks if tick["status"] != "STARTED"]

    def check(self, asset: str, name: str) -> tuple[bool, str] | None:
        """What the newest evaluation of a check found, and its description."""
        found = self.ask(
            """query ($of: AssetKeyInput!, $name: String!) {
                assetCheckExecutions(assetKey: $of, checkName: $name, limit: 1) {
                    evaluation { success description }
                }
            }""",
            of={"path": asset.split("/")},
            name=name,
        )
        evaluation = found[0]["evaluation"] if found else None
        return (evaluation["success"], evaluation["description"]) if evaluation else None

    def days(self, asset: str) -> dict[str, int]:
        """How many days of an asset are there, and how many failed, as the UI counts."""
        return self.ask(
            """query ($of: AssetKeyInput!) { assetNodeOrError(assetKey: $of) {
                ... on AssetNode { partitionStats { numMaterialized numFailed } }
            } }""",
            of={"path": asset.split("/")},
        )["partitionStats"]

    def runs(self, **tags: str) -> list[dict[str, Any]]:
        """The runs that have these tags of Dagster's, the oldest first."""
        found = self.ask(
            """query ($of: RunsFilter!) { runsOrError(filter: $of) {
                ... on Runs { results {
                    runId parentRunId status startTime tags { key value }
                    assetMaterializations { partition assetKey { path } }
                } }
                ... on Error { message }
            } }""",
            of={"tags": [{"key": f"dagster/{key}", "value": tags[key]} for key in tags]},
        )
        return [
            {**run, "tags": {tag["key"]: tag["value"] for tag in run["tags"]}}
            for run in reversed(found["results"])
        ]

    def run(self, run_id: str, *states: str) -> str:
        """The state of a run, once it is one of these; of those that end it if none is told."""
        query = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"
        wanted = set(states) or DONE
        return self.once(lambda: next(iter({self.ask(query, id=run_id)["status"]} & wanted), None))

    def once(self, look: Callable[[], Found | None]) -> Found:
        """What is there, once it is."""
        deadline = time.monotonic() + SECONDS
        while not (found := look()):
            if time.monotonic() > deadline:
                states = [(run["runId"], run["status"], made([run])) for run in self.runs()]
                raise AssertionError(f"That did not come. The runs: {states}")
            time.sleep(ASK_SECONDS)
        return found

    def switch_on_in_time(self, schedule: str, cron: str, when: datetime) -> None:
        """Make a schedule one that was switched on at a time in the past; ticks since are due.

        The UI can only switch it on now. Some run must have been started from there before.
        """
        with self.instance() as instance:
            origins = [run.remote_job_origin for run in instance.get_runs()]
            repository = next(origin for origin in origins if origin).repository_origin
            instance.add_instigator_state(
                InstigatorState(
                    repository.get_instigator_origin(schedule),
                    InstigatorType.SCHEDULE,
                    InstigatorStatus.RUNNING,
                    ScheduleInstigatorData(cron, when.timestamp()),
                )
            )

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        """The history that the services share."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DAGSTER_HOME", str(self.home.path / "dagster"))
            instance = dg.DagsterInstance.get()
        with instance:
            yield instance


def paths(keys: Sequence[str]) -> list[dict[str, list[str]]]:
    """Asset keys as GraphQL has them."""
    return [{"path": key.split("/")} for key in keys]


def made(runs: Sequence[dict[str, Any]]) -> list[tuple[str, str | None]]:
    """What runs have materialised: assets and days, as often as they did."""
    return sorted(
        ("/".join(of["assetKey"]["path"]), of["partition"] or "")
        for run in runs
        for of in run["assetMaterializations"]
    )


@contextmanager
def dagster_services(home: Home) -> Iterator[Dagster]:
    """Dagster, on the history that the commands have written in a home."""
    with CodeServer(home) as code:
        workspace = code.workspace()
        with Webserver(home, workspace) as webserver, Daemon(home, workspace):
            yield Dagster(webserver.url, home)


class ShopWithABadDay(SyntheticShop):
    """On the last day most carts are of products that it does not list; it can be made to wait."""

    opened: ClassVar[Event] = Event()

    def list_users(self) -> list[Record]:
        self.opened.wait(SECONDS)
        return super().list_users()

    def stream_carts(self, *of: Any, **more: Any) -> Iterator[Record]:
        bad_day = str(self.first_day + timedelta(days=self.days - 1))
        for cart in super().stream_carts(*of, **more):
            if cart["date"].startswith(bad_day) and cart["id"] % 4:
                lines = [{**line, "productId": NOT_LISTED} for line in cart["products"]]
                yield {**cart, "products": lines}
            else:
                yield cart


@dataclass(frozen=True)
class Scheduled:
    """What the daemon did when the schedule was due while a run held up the queue."""

    held: str
    backfill: str
    run: str
    tags_in_queue: Mapping[str, str]
    missing: tuple[bool, str]
