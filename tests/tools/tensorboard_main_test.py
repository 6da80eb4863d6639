"""TensorBoard starts as the other programs do, and shows what retrain wrote."""

import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from absl.testing import absltest

from retrain.training.history import Measures, TrainingHistory
from retrain.training.summaries import RunSummaries
from tests.support import programs


class TensorBoardTest(absltest.TestCase):
    def test_runs_in_a_relative_folder_are_shown(self):
        folder = Path(self.create_tempdir().full_path)
        with RunSummaries(folder / "logs") as summaries:
            measures = Measures((0.5, 1.0), (1.0, 0.5))
            summaries.add_history(TrainingHistory((1, 2), measures, measures), "by_epoch")
        process = subprocess.Popen(
            programs.command("tensorboard", "--logdir=logs", "--port=0"),
            env=programs.environment(BUILD_WORKING_DIRECTORY=str(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            address = self.address(process)
            for _ in range(100):
                with urllib.request.urlopen(f"{address}/data/plugin/scalars/tags") as answer:
                    runs = json.load(answer)
                if len(runs) == 2:
                    break
                time.sleep(0.1)  # It reads them while it serves.
        finally:
            process.terminate()
            process.communicate()
        tags = ["by_epoch/accuracy", "by_epoch/cross_entropy"]
        found = {run.rpartition("/")[2]: sorted(shown) for run, shown in runs.items()}
        self.assertEqual(found, {"train": tags, "validation": tags})

    def address(self, process: subprocess.Popen) -> str:
        said = ""
        assert process.stderr
        for line in process.stderr:
            said += line
            if found := re.search(r"http://localhost:\d+", line):
                return found[0]
        self.fail(said)


if __name__ == "__main__":
    absltest.main()
