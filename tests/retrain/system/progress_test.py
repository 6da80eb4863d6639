"""Progress is a bar on a terminal, and a line from time to time elsewhere."""

import os
import struct
import sys

from absl.testing import absltest, parameterized

from tests.support.python_code import run_python

_IMAGES = """
import sys
from retrain.system import progress
from retrain.system.program.console import set_up_messages
set_up_messages()
progress._SECONDS_BETWEEN_LINES = float(sys.argv[1])
with progress.ProgressBar(100, "Bottlenecks") as bar:
    for _ in range(10):
        bar.add(10)
"""
_MEGABYTES = """
import sys
from retrain.system import progress
from retrain.system.program.console import set_up_messages
set_up_messages()
progress._SECONDS_BETWEEN_LINES = 0
total = int(sys.argv[1]) or None
with progress.ProgressBar(total, "File", in_bytes=True, done=1_000_000) as bar:
    bar.add(500_000)
"""


class ProgressTest(parameterized.TestCase):
    def lines(self, code: str, argument: float) -> list[str]:
        return run_python(code, argument, check=True).stderr.splitlines()

    def test_lines_tell_the_progress_the_speed_and_the_time_left(self):
        lines = self.lines(_IMAGES, 0)
        self.assertLen(lines, 10)
        self.assertRegex(lines[2], r"^Bottlenecks: 30 of 100 \(30%\), \d+ images/s, 0 s left$")

    def test_short_work_has_no_lines(self):
        self.assertEmpty(self.lines(_IMAGES, 10))

    def test_downloads_are_counted_in_megabytes(self):
        (line,) = self.lines(_MEGABYTES, 2_000_000)
        self.assertRegex(line, r"^File: 1.5 of 2.0 MB \(75%\), \d+\.\d MB/s, 0 s left$")

    def test_a_total_can_be_unknown(self):
        (line,) = self.lines(_MEGABYTES, 0)
        self.assertRegex(line, r"^File: 1.5 MB, \d+\.\d MB/s$")

    @absltest.skipIf(sys.platform == "win32", "Windows has other terminals.")
    def test_a_terminal_shows_a_bar_that_goes_away(self):
        import fcntl
        import pty
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        run_python(_IMAGES, 10, stderr=slave, check=True)
        shown = os.read(master, 100_000).decode()
        os.close(slave)
        os.close(master)
        self.assertIn("Bottlenecks:", shown)
        self.assertIn("100", shown)
        self.assertEndsWith(shown.rstrip(" "), "\r")


if __name__ == "__main__":
    absltest.main()
