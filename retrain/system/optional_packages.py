"""Finds packages of the group for clusters, which most users do not install."""

import importlib.util
import os
import sys
from pathlib import Path

from retrain.errors import UserError

INSTALL_COMMAND = "bazel build //tools:ray"


def require(*names: str, purpose: str) -> None:
    """Makes optional packages importable, also in processes that this one starts.

    Bazel installs them in a folder next to that of the other packages, when it builds a target that
    depends on them. A program that rarely needs them does not depend on them, and finds them if
    they are there.

    Args:
        names: Names of modules.
        purpose: What needs them, for the message.

    Raises:
        UserError: If a package is not installed.
    """
    missing = [name for name in names if importlib.util.find_spec(name) is None]
    folder = packages_folder("cluster_packages")
    if missing and folder.is_dir():
        sys.path.append(str(folder))
        paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
        os.environ["PYTHONPATH"] = os.pathsep.join([*paths, str(folder)])
        missing = [name for name in names if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"{purpose} needs the package {missing[0]}, which is not installed; install it with: "
            f"{INSTALL_COMMAND}"
        )


def packages_folder(repository: str) -> Path:
    """Returns the folder with the packages of a `python_packages` in WORKSPACE. It may not exist.

    Args:
        repository: Name of the external repository.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    # The virtual environment is in the folder of another external repository.
    return Path(sys.prefix).parent.parent / repository / f"packages-{version}"
