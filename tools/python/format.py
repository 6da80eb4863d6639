"""Formats the sources and mends what ruff can mend: `bazel run //tools/python:format`."""

import os
import subprocess
import sys


def main() -> None:
    """Changes the files of the workspace in place."""
    workspace = os.environ["BUILD_WORKSPACE_DIRECTORY"]
    ruff = [sys.executable, "-m", "ruff"]
    # What `check --fix` cannot mend it prints, and the rest is still to be formatted.
    checked = subprocess.run([*ruff, "check", "--fix"], cwd=workspace)
    formatted = subprocess.run([*ruff, "format"], cwd=workspace)
    sys.exit(checked.returncode or formatted.returncode)


if __name__ == "__main__":
    main()
