"""Progress is a bar on a terminal, and a line now and then elsewhere."""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.system.text import format_duration

_PROGRAM = """
from retrain import progress, runtime
runtime.set_up_messages()
progress._SECONDS_BETWEEN_LINES = {interval}
with progress.Progress(100, "Bottlenecks") as bar:
    for _ in range(10):
        bar.add(10)
"""


def _arguments(interval: float) -> list[str]:
    return [sys.executable, "-c", _PROGRAM.format(interval=interval)]


_ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path.cwd())}


class ProgressTest(parameterized.TestCase):
    def lines(self, interval: float) -> list[str]:
        done = subprocess.run(
            _arguments(interval), env=_ENVIRONMENT, capture_output=True, text=True, check=True
        )
        return done.stderr.splitlines()

    def test_lines_tell_how_far_how_fast_and_how_long(self):
        lines = self.lines(interval=0)
        self.assertLen(lines, 10)
        self.assertRegex(lines[2], r"^Bottlenecks: 30 of 100 \(30%\), \d+ images/s, 0 s left$")

    def test_short_work_gets_no_lines(self):
        self.assertEmpty(self.lines(interval=10))

    def test_a_terminal_gets_a_bar_that_goes_away(self):
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        subprocess.run(_arguments(10), env=_ENVIRONMENT, stderr=slave, check=True)
        shown = os.read(master, 100_000).decode()
        os.close(slave)
        os.close(master)
        self.assertIn("Bottlenecks:", shown)
        self.assertIn("100", shown)
        self.assertEndsWith(shown.rstrip(" "), "\r")

    @parameterized.parameters((0.4, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"))
    def test_durations(self, seconds: float, text: str):
        self.assertEqual(format_duration(seconds), text)


if __name__ == "__main__":
    absltest.main()
