"""Controls a headless Chromium through the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/ documents the methods. With
`--remote-debugging-pipe`, the browser reads requests from file descriptor 3 and writes responses to
4. Each message is a JSON object that ends with a zero byte.
"""

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

_REQUEST_DESCRIPTOR, _RESPONSE_DESCRIPTOR = 3, 4
_TIMEOUT_SECONDS = 60
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str | None:
    """Returns the path of the browser, or None. If CI is set, installs a missing browser.

    https://docs.github.com/actions/reference/variables-reference documents CI.
    """
    installed = next(filter(None, map(shutil.which, _NAMES)), None)
    if installed or not (os.environ.get("CI") and os.geteuid() == 0 and shutil.which("apt-get")):
        return installed
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("update", "install -y --no-install-recommends chromium"):
        subprocess.run(["apt-get", "-q", *command.split()], env=environment, check=False)
    return shutil.which("chromium")


class Chromium:
    """A headless browser with one page. A context manager.

    Attributes:
        events: Events that the browser has sent since the page was opened.
    """

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory()
        requests, self._request_pipe = _high_pipe()
        self._response_pipe, responses = _high_pipe()

        def renumber_pipes() -> None:
            os.dup2(requests, _REQUEST_DESCRIPTOR)
            os.dup2(responses, _RESPONSE_DESCRIPTOR)

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
            preexec_fn=renumber_pipes,
        )
        os.close(requests)
        os.close(responses)
        self._last_id = 0
        self._received = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        page = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log", "DOM"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._request_pipe)
        self._process.kill()
        self._process.wait()
        os.close(self._response_pipe)
        # Other processes of the browser can still be writing to the folder.
        shutil.rmtree(self._folder.name, ignore_errors=True)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Calls a DevTools method and returns its result. Adds events that arrive to `events`."""
        self._last_id += 1
        message = {"id": self._last_id, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._request_pipe, data) :]
        while True:
            response = self._next_message()
            if response.get("id") != self._last_id:
                self.events.append(response)
            elif "error" in response:
                raise AssertionError(f"{method}: {response['error']}")
            else:
                return response["result"]

    def open(self, url: str, *, width: int = 1000, height: int = 800, phone: bool = False) -> None:
        """Opens a page in a window of the size in CSS pixels."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait_for_event("Page.loadEventFired")

    def wait_for_event(self, method: str) -> dict[str, Any]:
        """Waits for an event and returns its parameters. Events since the page was opened count."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            for event in self.events:
                if event["method"] == method:
                    return event.get("params", {})
            self.call("Runtime.evaluate", expression="0")
            time.sleep(0.02)
        raise AssertionError(f"no {method}")

    def evaluate(self, expression: str) -> Any:
        """Returns the value of a JavaScript expression in the page."""
        response = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in response:
            raise AssertionError(f"{expression}: {response['exceptionDetails']}")
        return response["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Waits until a JavaScript expression in the page is true."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            if self.evaluate(expression):
                return
            time.sleep(0.02)
        page_text = self.evaluate("document.body.innerText")
        raise AssertionError(f"never true: {expression}\nthe page shows: {page_text}")

    def drop(self, *files: Path, x: int = 300, y: int = 300) -> None:
        """Drags files into the window and drops them at a point of the page."""
        data = {"items": [], "files": [str(file) for file in files], "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, selector: str, *files: Path) -> None:
        """Chooses files in the file input that matches the CSS selector."""
        root = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        paths = [str(file) for file in files]
        self.call("DOM.setFileInputFiles", nodeId=node, files=paths)

    def press(self, key: str, code: int) -> None:
        """Presses a key.

        Args:
            key: Name of the key in https://www.w3.org/TR/uievents-key/.
            code: Virtual key code of the key in Windows.
        """
        for kind in ("keyDown", "keyUp"):
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    def screenshot(self) -> bytes:
        """Returns a screenshot of the window as a PNG file."""
        return base64.b64decode(self.call("Page.captureScreenshot")["data"])

    def _next_message(self) -> dict[str, Any]:
        while b"\0" not in self._received:
            data = os.read(self._response_pipe, 1 << 20)
            if not data:
                raise AssertionError("the browser has exited")
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)


def _high_pipe() -> tuple[int, int]:
    """Returns a pipe with descriptors from 10 on, so that 3 and 4 are free in the child process."""
    import fcntl

    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]
    for end in low:
        os.close(end)
    return high[0], high[1]
