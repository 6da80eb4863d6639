"""Formats the sources and fixes lint errors: `bazel run //tools/python:format`."""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import os
import subprocess
import sys


def main() -> None:
    """Changes the files in the workspace."""
    workspace = os.environ["BUILD_WORKSPACE_DIRECTORY"]
    ruff = [sys.executable, "-m", "ruff"]
    # If `check --fix` prints errors that it cannot fix, the files are formatted nevertheless.
    checked = subprocess.run([*ruff, "check", "--fix"], cwd=workspace)
    formatted = subprocess.run([*ruff, "format"], cwd=workspace)
    sys.exit(checked.returncode or formatted.returncode)


if __name__ == "__main__":
    main()
