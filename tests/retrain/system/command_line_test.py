"""Programs end with the right status and one line, whatever happens."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

from absl.testing import absltest

_PROGRAM = '''
"""Does little.

    usage
"""
from absl import flags
from retrain import command_line
from retrain.errors import UserError
_NUMBER = flags.DEFINE_integer("number", 3, "How many.", lower_bound=1)
_ON = flags.DEFINE_boolean("on", True, "Whether.")
_TEXT = flags.DEFINE_string("text", None, "Which one.")
def main(arguments):
    {body}
command_line.run(main, __doc__)
'''


def _run(body: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    program = _PROGRAM.format(body=textwrap.indent(body, "    ").strip())
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
        capture_output=True,
        text=True,
        **options,
    )


class CommandLineTest(absltest.TestCase):
    def check(self, done, status: int, out: str = "", error: str = "") -> None:
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, out, error))

    def test_flags_and_arguments_in_any_order(self):
        done = _run("print(_NUMBER.value, arguments)", "a", "--number=5", "b", "--", "--c")
        self.check(done, 0, "5 ['a', 'b', '--c']\n")

    def test_the_status_is_what_main_returns(self):
        self.check(_run("return 1"), 1)

    def test_a_mistake_of_the_user_is_one_line(self):
        done = _run('raise UserError("--text=a\\nb is wrong")')
        self.check(done, 1, error="Error: --text=a\\nb is wrong\n")

    def test_a_defect_is_a_traceback(self):
        done = _run("raise KeyError(3)")
        self.assertIn("Traceback", done.stderr)

    def test_an_unknown_flag_and_a_wrong_value_are_one_line(self):
        for argument, part in (
            ("--numbr=3", "number"),
            ("--number=x", "number"),
            ("--number=0", "number"),
        ):
            done = _run("pass", argument)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, f"^Error: .*{part}.*; --help lists all flags\n$")

    def test_help_lists_the_flags_in_order(self):
        done = _run("raise AssertionError", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertRegex(
            done.stdout, r"(?s)^Does little.*--number=3\n +How many.*--\[no\]on.*--text="
        )

    def test_an_interruption_is_one_line(self):
        done = _run(
            f"import os; os.kill(os.getpid(), {int(signal.SIGINT)}); import time; time.sleep(9)"
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^Error: interrupted.*\n$")

    def test_a_reader_that_leaves_is_no_error_of_ours(self):
        read, write = os.pipe()
        os.close(read)
        program = _PROGRAM.format(body="print('x' * 100000)")
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONPATH": str(Path.cwd())},
            stdout=write,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (1, ""))


if __name__ == "__main__":
    absltest.main()
