"""TensorBoard finds a relative folder and shows the summaries that retrain wrote."""

import json
import re
import subprocess
import time
import urllib.request
from pathlib import Path

from absl.testing import absltest

from retrain.training.history import MetricSeries, TrainingHistory
from retrain.training.summaries import RunSummaries
from tests.support import programs


class TensorBoardTest(absltest.TestCase):
    def test_runs_in_a_relative_folder_are_shown(self):
        folder = Path(self.create_tempdir().full_path)
        with RunSummaries(folder / "logs") as summaries:
            series = MetricSeries((0.5, 1.0), (1.0, 0.5))
            summaries.add_history(TrainingHistory((1, 2), series, series), "by_epoch")
        process = subprocess.Popen(
            programs.command("tensorboard", "--logdir=logs", "--port=0"),
            env=programs.environment(BUILD_WORKING_DIRECTORY=str(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            url = self.url(process)
            for _ in range(100):
                with urllib.request.urlopen(f"{url}/data/plugin/scalars/tags") as response:
                    runs = json.load(response)
                if len(runs) == 2:
                    break
                time.sleep(0.1)  # TensorBoard starts to serve before it has read all runs.
        finally:
            process.terminate()
            process.communicate()
        tags = ["by_epoch/accuracy", "by_epoch/cross_entropy"]
        found = {run.rpartition("/")[2]: sorted(shown) for run, shown in runs.items()}
        self.assertEqual(found, {"train": tags, "validation": tags})

    def url(self, process: subprocess.Popen) -> str:
        """Returns the URL that TensorBoard logs when it is ready."""
        log = ""
        assert process.stderr
        for line in process.stderr:
            log += line
            if match := re.search(r"http://localhost:\d+", line):
                return match[0]
        self.fail(log)


if __name__ == "__main__":
    absltest.main()
