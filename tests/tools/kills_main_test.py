"""Programs that are killed at any moment lose, mix and leave behind nothing."""

import os
import random
import shutil
import tempfile
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from tests.support import kill_scenarios
from tests.support.repeated_kills import PROBLEMS, kill_repeatedly

# tests/benchmarks:kills does the same for longer.
_KILLS = {
    "outputs": 10,
    "backbone": 4,
    "guess_dir": 6,
    "retrain": 2,
    "convert": 1,
    "train_keras": 1,
    "label_image": 1,
    "cache": 2,
}


class KillsTest(parameterized.TestCase):
    @parameterized.parameters(*_KILLS)
    def test_nothing_is_lost_mixed_or_left_behind(self, name):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.enter_context(mock.patch.dict(os.environ))
        self.enter_context(mock.patch("logging.warning"))
        kill_scenarios.state_folder(folder / "state")
        (folder / "work").mkdir()
        scenario = kill_scenarios.SCENARIOS[name][0](folder / "work")
        counts = kill_repeatedly(scenario, _KILLS[name], random.Random(1))
        self.assertEqual(
            {problem: counts[problem] for problem in PROBLEMS}, dict.fromkeys(PROBLEMS, 0)
        )
        self.assertGreater(counts["killed"], 0)
        if name == "outputs":
            self.assertGreater(counts["among renames"], 0)


if __name__ == "__main__":
    absltest.main()
