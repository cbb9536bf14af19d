"""Which services each deployment has; their checks, all at once, told in this order."""

import importlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from storepipe_dagster.errors import UserError
from storepipe_dagster.settings import Deployment, Settings

# What the settings name: the service, and the module here that checks it.
COMMON = {"settings": "deployment", "Dagster": "dagster_home", "store API": "store_api"}
SERVICES: dict[Deployment, dict[str, str]] = {
    "local": {**COMMON, "database": "sqlite", "lake": "lake_folder", "Spark": "spark"},
    "azure": {**COMMON, "database": "mysql", "lake": "azure", "Spark": "spark"},
    "databricks": {**COMMON, "database": "mysql", "lake": "azure", "Databricks": "databricks"},
}
DEADLINE_SECONDS = 7.0
LATE = (
    f"has not answered for {DEADLINE_SECONDS:.0f} s. "
    "Check its address, and that no firewall in between holds it back."
)

_importing = threading.Lock()


def examine(settings: Settings, tell: Callable[[str], None]) -> bool:
    """Tell one line per service, as soon as it is known; returns whether all are well."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    services = SERVICES[settings.dagster_deployment]
    width = max(map(len, services))
    findings = {service: _start(module, settings) for service, module in services.items()}
    well = True
    for service, finding in findings.items():
        wait([finding], max(0.0, deadline - time.monotonic()))
        error = finding.exception() if finding.done() else UserError(LATE)
        told = finding.result() if error is None else _told(error)
        well = well and error is None
        state = "ok" if error is None else "WRONG"
        tell(f"{service:{width}}  {state:5}  {' '.join(told.split())}")
    return well


def _start(module: str, settings: Settings) -> Future[str]:
    """Check in a thread that does not keep the process alive: some calls know no time-out."""
    finding: Future[str] = Future()

    def check() -> None:
        try:
            # Imported here, so that the quick checks need not wait for what the others import; one
            # after the other, as libraries that import in circles break when two threads do it.
            with _importing:
                service = importlib.import_module(f"storepipe_dagster.doctor.{module}")
            finding.set_result(service.check(settings))
        except BaseException as error:  # noqa: BLE001  # told by examine
            finding.set_exception(error)

    threading.Thread(target=check, name=f"doctor-{module}", daemon=True).start()
    return finding


def _told(error: BaseException) -> str:
    """What went wrong; of an error that no check foresaw only where, as its text may tell more."""
    if isinstance(error, UserError):
        return str(error)
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    where = f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else "?"
    return f"fails in a way that doctor does not know: {type(error).__name__} in {where}."
