"""The sources pass the linter, the formatter and the type checker, configured in pyproject.toml."""

import os
import subprocess
import sys
from pathlib import Path

from absl.testing import absltest


class StyleTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # Bazel starts a test in a copy of the workspace that contains the data that BUILD lists.
        self.sources = sorted(str(path) for path in Path().rglob("*.py"))

    def check(self, *command: str, advice: str = "") -> None:
        done = subprocess.run(
            [sys.executable, "-m", *command, *self.sources],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.assertEqual(done.returncode, 0, f"{done.stdout}\n{advice}")

    def test_every_package_lists_its_sources(self):
        self.assertIn("tests/repository/style_test.py", self.sources)
        self.assertIn("retrain/main.py", self.sources)
        self.assertIn("label_image/main.py", self.sources)

    def test_lint(self):
        self.check("ruff", "check", "--no-cache", advice="Try: bazel run //tools/python:format")

    def test_format(self):
        self.check(
            "ruff", "format", "--diff", "--no-cache", advice="Run: bazel run //tools/python:format"
        )

    def test_types(self):
        self.check("mypy", f"--cache-dir={os.devnull}")


if __name__ == "__main__":
    absltest.main()
