"""Pins the packages of all requirements files: `bazel run //tools/python:lock`.

Versions that still satisfy the requirements are kept. Arguments are passed to uv: `-- --upgrade`
selects the newest version of every package, and `-- --upgrade-package=keras` that of one package.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import os
import subprocess
import sys
from pathlib import Path

# The lowest version in venv.bzl, and the target-version in pyproject.toml.
_LOWEST_PYTHON = "3.10"
_MAIN = "requirements_lock.txt"


def main() -> None:
    """Rewrites the lock files in the workspace."""
    os.chdir(os.environ["BUILD_WORKSPACE_DIRECTORY"])
    _compile("requirements.in", _MAIN)
    # These packages are installed next to those of the main file.
    present = {
        line.partition("==")[0]
        for line in Path(_MAIN).read_text().splitlines()
        if "==" in line and line[0].isalnum()
    }
    _compile(
        "tools/python/cluster_requirements.in",
        "tools/python/cluster_requirements.txt",
        f"--constraints={_MAIN}",
        *(f"--no-emit-package={name}" for name in sorted(present)),
    )
    # A test runs this server as a program of its own.
    _compile("tests/support/s3_server_requirements.in", "tests/support/s3_server_requirements.txt")


def _compile(source: str, target: str, *options: str) -> None:
    compiled = subprocess.run(
        [
            *[sys.executable, "-m", "uv", "pip", "compile", source],
            f"--output-file={target}",
            "--custom-compile-command=bazel run //tools/python:lock",
            "--generate-hashes",
            "--universal",
            f"--python-version={_LOWEST_PYTHON}",
            # As in venv.bzl, no code of a package runs during installation.
            "--only-binary=:all:",
            # Settings of the user must not affect a shared file.
            "--no-config",
            f"--python={sys.executable}",
            "--quiet",
            *options,
            *sys.argv[1:],
        ]
    )
    if compiled.returncode:
        sys.exit(compiled.returncode)


if __name__ == "__main__":
    main()
