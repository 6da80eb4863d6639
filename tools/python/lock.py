"""Pins requirements.in in requirements_lock.txt: `bazel run //tools/python:lock`.

Versions that still satisfy requirements.in are kept. Arguments are passed to uv: `-- --upgrade`
selects the newest version of every package, and `-- --upgrade-package=keras` that of one package.
"""

from retrain.system import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import os
import subprocess
import sys

# The lowest version in venv.bzl, and the target-version in pyproject.toml.
_LOWEST_PYTHON = "3.10"


def main() -> None:
    """Rewrites the lock file in the workspace."""
    compiled = subprocess.run(
        [
            *[sys.executable, "-m", "uv", "pip", "compile", "requirements.in"],
            "--output-file=requirements_lock.txt",
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
            *sys.argv[1:],
        ],
        cwd=os.environ["BUILD_WORKSPACE_DIRECTORY"],
    )
    sys.exit(compiled.returncode)


if __name__ == "__main__":
    main()
