"""Runs the `ray` command with the packages of this program, to start the nodes of a cluster.

    bazel run //tools:ray -- start --head
    bazel run //tools:ray -- start --address=HOST:6379
    bazel run //tools:ray -- stop

Processes that Ray starts on a node find this program and its packages.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import os
import sys
from pathlib import Path

from retrain.errors import UserError
from retrain.system import optional_packages

# The modules that nodes run. Bazel puts them where Ray's processes find them.
from tools.cluster import bottleneck_task, label_task, ray_runner  # noqa: F401


def main() -> None:
    """Replaces this process by the `ray` command."""
    try:
        optional_packages.require("ray", "pyarrow", "fsspec", purpose="Ray")
    except UserError as error:
        sys.exit(f"Error: {error}")
    # Ray's processes look for modules where this one does, except next to this file.
    here = str(Path(__file__).parent)
    paths = [path for path in sys.path if path not in ("", here)]
    os.environ["PYTHONPATH"] = os.pathsep.join(paths)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.execv(sys.executable, [sys.executable, "-m", "ray.scripts.scripts", *sys.argv[1:]])


if __name__ == "__main__":
    main()
