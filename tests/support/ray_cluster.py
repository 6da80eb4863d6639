"""Starts a Ray cluster of several node processes on this machine."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support import programs

_SECONDS_TO_START = 120
# Ray refuses less.
_OBJECT_STORE_BYTES = 80_000_000
_STARTED = "This command will now block forever"


def free_port() -> int:
    """Returns a port of the loopback address that no program uses."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class RayCluster:
    """A cluster with a head node that computes nothing. A context manager, which stops it.

    Attributes:
        address: Host and port of the head node.
    """

    def __init__(self, **environment: str) -> None:
        """Starts the head node.

        Args:
            environment: Environment variables of all nodes.
        """
        self._environment = environment
        # Paths of sockets must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))
        self._nodes: list[subprocess.Popen] = []
        port = free_port()
        self.address = f"127.0.0.1:{port}"
        try:
            self._start(
                "--head",
                f"--port={port}",
                "--num-cpus=0",
                "--include-dashboard=false",
                f"--temp-dir={self._folder}",
            )
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> "RayCluster":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def add_node(self, *, processors: int = 1, **environment: str) -> subprocess.Popen:
        """Starts a node, and returns its process."""
        return self._start(f"--address={self.address}", f"--num-cpus={processors}", **environment)

    def kill_node(self, node: subprocess.Popen) -> None:
        """Ends all processes of a node at once, as a machine that fails does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def stop(self) -> None:
        """Ends all nodes, and removes their files."""
        for node in reversed(self._nodes):
            self.kill_node(node)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self, *arguments: str, **environment: str) -> subprocess.Popen:
        log = self._folder / f"node{len(self._nodes)}.log"
        command = programs.command(
            "ray",
            "start",
            "--block",
            "--node-ip-address=127.0.0.1",
            f"--object-store-memory={_OBJECT_STORE_BYTES}",
            "--disable-usage-stats",
            *arguments,
        )
        with log.open("w") as file:
            node = subprocess.Popen(
                command,
                stdout=file,
                stderr=subprocess.STDOUT,
                # A group of its own, whose processes can be ended together.
                start_new_session=True,
                cwd=self._folder,
                env=programs.environment(**self._environment, **environment),
            )
        self._nodes.append(node)
        deadline = time.monotonic() + _SECONDS_TO_START
        while _STARTED not in log.read_text():
            if node.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the node did not start: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        return node
