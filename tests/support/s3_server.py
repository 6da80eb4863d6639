"""Runs an S3 server on the loopback address, as a program of its own."""

import importlib.util
import os
import socket
import subprocess
import sys
import time

from retrain.system.optional_packages import packages_folder
from tests.support.ray_cluster import free_port

_SECONDS_TO_START = 60


def is_available() -> bool:
    """Returns whether the server is installed."""
    folder = packages_folder("s3_server_packages")
    return folder.is_dir() or importlib.util.find_spec("moto") is not None


class S3Server:
    """An empty S3 server. A context manager, which stops it.

    Attributes:
        environment: Environment variables with which programs use it.
    """

    def __init__(self) -> None:
        """Starts the server."""
        port = free_port()
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "--host=127.0.0.1", f"--port={port}"],
            env={**os.environ, "PYTHONPATH": str(packages_folder("s3_server_packages"))},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _SECONDS_TO_START
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise
                time.sleep(0.1)

    def __enter__(self) -> "S3Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stops the server."""
        self._process.kill()
        self._process.wait()
