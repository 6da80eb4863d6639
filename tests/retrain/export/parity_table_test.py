"""Tests the table of parity checks."""

import dataclasses
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain.export.difference import Difference
from retrain.export.parity import ParityCheck
from retrain.export.parity_sample import Sample
from retrain.export.parity_table import format_table

_SAMPLE = Sample((Path("a.png"),) * 40, np.zeros((40, 8, 8, 3), np.uint8), held_out=30)
_CHECK = ParityCheck(
    kind="Kind",
    size=1_234_567,
    milliseconds=5.55,
    from_pixels=Difference(40, 1.0, 0.0, 0.0),
    from_files=Difference(40, 0.975, 0.02, 0.001),
)


class FormatTableTest(absltest.TestCase):
    def test_rows_show_both_differences_the_size_and_the_time(self):
        lines = format_table([_CHECK], _SAMPLE)
        self.assertIn("30 held-out images and 10 others", lines[0])
        self.assertRegex(lines[2], r"^  Kind +100\.0 % +0\.0e\+00  0e\+00 +1\.2 MB +5\.[56] ms$")
        self.assertRegex(lines[3], r"^    decoding itself +97\.5 % +2\.0e-02  1e-03$")
        self.assertLen(lines, 4)

    def test_a_file_that_runs_elsewhere_has_no_time(self):
        lines = format_table([dataclasses.replace(_CHECK, milliseconds=None)], _SAMPLE)
        self.assertEndsWith(lines[2], " elsewhere")
        self.assertIn("reference", lines[-1])

    def test_a_file_that_was_not_checked_is_not_verified(self):
        lines = format_table([_CHECK], _SAMPLE, unverified=["Core ML, float16"])
        self.assertEqual(lines[4], "  Core ML, float16   not verified")
        self.assertLen(lines, 5)


if __name__ == "__main__":
    absltest.main()
