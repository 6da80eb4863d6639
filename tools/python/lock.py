"""Pins requirements.in in requirements_lock.txt: `bazel run //tools/python:lock`.

Pins that still fit are kept. Arguments go to uv: `-- --upgrade` takes the newest of everything,
`-- --upgrade-package=keras` the newest of one package.
"""

import os
import subprocess
import sys

# The lowest of the versions in venv.bzl, and the target-version in pyproject.toml.
_LOWEST_PYTHON = "3.10"


def main() -> None:
    """Rewrites the lock in the workspace."""
    compiled = subprocess.run(
        [
            *[sys.executable, "-m", "uv", "pip", "compile", "requirements.in"],
            "--output-file=requirements_lock.txt",
            "--custom-compile-command=bazel run //tools/python:lock",
            "--generate-hashes",
            "--universal",
            f"--python-version={_LOWEST_PYTHON}",
            # As venv.bzl installs it: no package's own code runs at installation.
            "--only-binary=:all:",
            # Settings of the user's must not show in a file which everybody shares.
            "--no-config",
            f"--python={sys.executable}",
            "--quiet",
            *sys.argv[1:],
        ],
        cwd=os.environ["BUILD_WORKSPACE_DIRECTORY"],
    )
    sys.exit(compiled.returncode)


if __name__ == "__main__":
    main()
