"""Runs the TensorBoard that is installed with retrain. All flags are TensorBoard's own.

bazel run //tools:tensorboard -- --logdir=/tmp/retrain_logs
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import os


def main() -> None:
    """Runs TensorBoard until it is stopped."""
    # Paths are relative to the folder where the user typed the command.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    from tensorboard.main import run_main

    run_main()


if __name__ == "__main__":
    main()
