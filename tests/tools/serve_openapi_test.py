"""Responses to the requests that schemathesis generates conform to /openapi.json."""

import importlib.util
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from absl import flags
from absl.testing import absltest

from tests.support import server_process

_SECONDS = flags.DEFINE_integer("seconds", 15, "Seconds for which to send requests.", lower_bound=1)

_RUN = "from schemathesis.cli import schemathesis; schemathesis()"


@absltest.skipUnless(importlib.util.find_spec("schemathesis"), "schemathesis is not installed")
class ServeOpenapiTest(absltest.TestCase):
    def test_responses_conform_to_the_description(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        graph, _ = server_process.train_colours(folder)
        server = self.enter_context(server_process.ServerProcess(graph))
        done = subprocess.run(
            [
                *[sys.executable, "-c", _RUN, "run"],
                f"http://127.0.0.1:{server.port}/openapi.json",
                f"--max-time={_SECONDS.value}",
                # Bytes that conform to the schema are rarely an image.
                "--exclude-checks=positive_data_acceptance",
                *["--seed=1", "--no-color"],
            ],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("6 selected / 6 total", done.stdout)
        self.assertNotRegex(server.log, r'" 500 |defect|Traceback')


if __name__ == "__main__":
    absltest.main()
