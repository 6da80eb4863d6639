"""Runs //retrain, and measures the processor time of fine-tuning itself; `fine_tuning` runs it."""

import functools
import os
from typing import Any
from unittest import mock

from absl import flags

from retrain import main as retrain_main
from retrain.fine_tuning import fit
from retrain.system.program import command_line
from tests.benchmarks.timed_process import CPU_SECONDS

flags.adopt_module_key_flags(retrain_main)


def main(arguments: list[str]) -> None:
    """Trains a classifier as the flags say."""
    fine_tune = fit.fine_tune

    @functools.wraps(fine_tune)
    def measured(*args: Any, **options: Any) -> Any:
        before = sum(os.times()[:2])
        history = fine_tune(*args, **options)
        print(f"{CPU_SECONDS}{sum(os.times()[:2]) - before:.1f}", flush=True)
        return history

    with mock.patch.object(fit, "fine_tune", measured):
        retrain_main.main(arguments)


if __name__ == "__main__":
    command_line.run(main, __doc__)
