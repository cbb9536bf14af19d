"""A headless Chromium, driven by its own protocol: open a page, read it, click, take a picture."""

import base64
import json
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import requests
from websockets.sync.client import ClientConnection, connect

from storepipe_dagster_tests.servers.install import program
from storepipe_dagster_tests.servers.process import Server

SECONDS = 60
LOOK_SECONDS = 0.1
MOST_TRIES = 100
SETTLE_SECONDS = 0.3  # dialogs and graphs move into their place
WIDTH, HEIGHT = 1440, 1200
VISIT = """{
    const there = new URL(%s);
    const isNear = there.protocol === "http:" && there.origin === location.origin;
    const isNext = isNear && there.href !== location.href;
    if (isNext) {
        history.pushState(null, "", there);
        dispatchEvent(new PopStateEvent("popstate"));
    }
    isNext
}"""
CLICK = """
    const text = %s, word = text.split(" ").pop();
    const found = [...document.querySelectorAll("a, button, [role=tab], [role=button], span, div")]
        .filter(one => one.textContent.includes(word))  // quicker than what is drawn of it
        .filter(one => one.innerText && one.innerText.trim() === text && one.offsetParent);
    const last = found[found.length - 1];
    const can = Boolean(last && !last.closest("button:disabled"));
    if (can) last.click();
    can
"""


class Chromium(Server):
    """The process; a page of it is a `Browser`."""

    name = "chromium"

    def command(self) -> Sequence[str | Path]:
        return [
            program("chromium"),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--hide-scrollbars",
            f"--user-data-dir={self.folder / 'profile'}",
            f"--remote-debugging-port={self.port}",
        ]

    def answers(self) -> bool:
        try:
            return requests.get(f"{self._address}/json/version", timeout=5).ok
        except requests.RequestException:
            return False

    @property
    def _address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def page(self) -> ClientConnection:
        """A connection to a new page."""
        made = requests.put(f"{self._address}/json/new?about:blank", timeout=SECONDS).json()
        return connect(made["webSocketDebuggerUrl"], max_size=None, proxy=None)

    def __exit__(self, *of_error: object) -> None:
        self._end(signal.SIGTERM)
        profile, tries = self.folder / "profile", 0
        while profile.exists():  # its children write into it until they end, too
            shutil.rmtree(profile, ignore_errors=tries < MOST_TRIES)
            tries += 1
            time.sleep(LOOK_SECONDS)
        super().__exit__(*of_error)


class Browser:
    """One page; what is looked for may take a while to come."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._sent = 0
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._do("Emulation.setDeviceMetricsOverride", **size)

    def _do(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._sent += 1
        self._connection.send(
            json.dumps({"id": self._sent, "method": method, "params": parameters})
        )
        while True:
            answer = json.loads(self._connection.recv(timeout=SECONDS))
            if answer.get("id") == self._sent:
                assert "error" not in answer, answer
                return answer["result"]

    def open(self, address: str) -> None:
        """Open an address as a link does: another page of the same server without loading all."""
        if not self.evaluate(VISIT % json.dumps(address)):
            assert "errorText" not in self._do("Page.navigate", url=address)

    def evaluate(self, script: str) -> Any:
        """The value of a script's last expression in the page."""
        done = self._do("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    def text(self) -> str:
        """What a person could read on the page, without its layout."""
        return " ".join((self.evaluate("document.body?.innerText") or "").split())

    def sees(self, *texts: str) -> str:
        """Wait until all of these are on the page; gives all that is."""
        deadline = time.monotonic() + SECONDS
        while True:
            seen = self.text()
            missing = [text for text in texts if text not in seen]
            if not missing:
                return seen
            assert time.monotonic() < deadline, f"{missing} not in: {seen}"
            time.sleep(LOOK_SECONDS)

    def holds(self, condition: str) -> None:
        """Wait until a script's last expression is true in the page."""
        deadline = time.monotonic() + SECONDS
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, f"not {condition} in: {self.text()}"
            time.sleep(LOOK_SECONDS)

    def click(self, text: str) -> None:
        """Click on what has this text, once it is there and takes clicks."""
        self.holds(f"{{{CLICK % json.dumps(text)}}}")

    def write(self, text: str) -> None:
        """Replace what stands in the page's editor, once it is there."""
        editor = "document.querySelector('.CodeMirror')?.CodeMirror"
        self.holds(f"Boolean({editor})")
        self.evaluate(f"{editor}.setValue({json.dumps(text)})")

    def picture(self, file: Path) -> None:
        """Save what the page looks like."""
        time.sleep(SETTLE_SECONDS)
        shot = self._do("Page.captureScreenshot", format="png")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(base64.b64decode(shot["data"]))
