"""TensorBoard, as it comes with the program, with its own flags.

bazel run //tools:tensorboard -- --logdir=/tmp/retrain_logs
"""

import os


def main() -> None:
    """Runs it until it is stopped."""
    # Paths are relative to the folder in which the user typed the command.
    os.chdir(os.environ.get("BUILD_WORKING_DIRECTORY", "."))
    from tensorboard.main import run_main

    run_main()


if __name__ == "__main__":
    main()
