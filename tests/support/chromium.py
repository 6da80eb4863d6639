"""Drives Debian's Chromium by the DevTools protocol, over a pair of pipes.

https://chromedevtools.github.io/devtools-protocol/ says what can be asked. With
`--remote-debugging-pipe`, the browser reads requests from descriptor 3 and writes answers to 4,
each a JSON object with a zero byte behind it.
"""

import base64
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_REQUESTS, _ANSWERS = 3, 4
_SECONDS = 60
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Returns the browser's program; where a machine for tests has none, installs it if it can.

    Such machines set CI, as https://docs.github.com/actions/reference/variables-reference says.
    """
    installed = next(filter(None, map(shutil.which, _NAMES)), None)
    if installed or not (os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get")):
        return installed
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("update", "install -y --no-install-recommends chromium"):
        subprocess.run(["apt-get", "-q", *command.split()], env=environment, check=False)
    return shutil.which("chromium")


class Chromium:
    """A browser without a window, with one page."""

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        requests, self._to = _high_pipe()
        self._from, answers = _high_pipe()

        def as_numbered() -> None:
            os.dup2(requests, _REQUESTS)
            os.dup2(answers, _ANSWERS)

        self._process = subprocess.Popen(
            [
                program,
                "--headless",
                "--remote-debugging-pipe",
                f"--user-data-dir={self._folder.name}",
                "--no-first-run",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=as_numbered,
        )
        os.close(requests)
        os.close(answers)
        self._number = 0
        self._received = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        page = self.ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self.ask("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._to)
        self._process.kill()
        self._process.wait()
        os.close(self._from)
        # Its other processes may be about to write there.
        shutil.rmtree(self._folder.name, ignore_errors=True)

    def ask(self, method: str, **parameters: object) -> dict[str, Any]:
        """Returns the result of a method; what happens meanwhile is added to `events`."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._to, data) :]
        while True:
            answer = self._next()
            if answer.get("id") != self._number:
                self.events.append(answer)
            elif "error" in answer:
                raise AssertionError(f"{method}: {answer['error']}")
            else:
                return answer["result"]

    def open(self, address: str, width: int = 1000, height: int = 800, phone: bool = False) -> None:
        """Shows a page in a window of that size, in CSS pixels."""
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.ask("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.events.clear()
        self.ask("Page.navigate", url=address)
        self.wait_for_event("Page.loadEventFired")

    def wait_for_event(self, method: str) -> dict[str, Any]:
        """Returns the parameters of the first event of that name since the page was opened."""
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            for event in self.events:
                if event["method"] == method:
                    return event.get("params", {})
            self.ask("Runtime.evaluate", expression="0")
            time.sleep(0.02)
        raise AssertionError(f"no {method}")

    def evaluate(self, expression: str) -> Any:
        """Returns the value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in answer:
            raise AssertionError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Returns as soon as an expression in the page is true."""
        until = time.monotonic() + _SECONDS
        while time.monotonic() < until:
            if self.evaluate(expression):
                return
            time.sleep(0.02)
        shown = self.evaluate("document.body.innerText")
        raise AssertionError(f"never true: {expression}\nthe page says: {shown}")

    def drop(self, *files: Path, x: int = 300, y: int = 300) -> None:
        """Drags files from outside to a point of the window, and drops them."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.ask("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, selector: str, *files: Path) -> None:
        """Chooses files in a field."""
        root = self.ask("DOM.getDocument")["root"]["nodeId"]
        node = self.ask("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        paths = [str(file) for file in files]
        self.ask("DOM.setFileInputFiles", nodeId=node, files=paths)

    def press(self, key: str, code: int) -> None:
        """Presses a key, named as in https://www.w3.org/TR/uievents-key/."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            shown = text if kind == "keyDown" else {}
            self.ask(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **shown
            )

    def screenshot(self) -> bytes:
        """Returns the window as a PNG file."""
        return base64.b64decode(self.ask("Page.captureScreenshot")["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._from, 1 << 20)
            if not data:
                raise AssertionError("the browser has ended")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


def _high_pipe() -> tuple[int, int]:
    """Returns a pipe's ends, numbered so high that 3 and 4 are free in a child."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]
