"""Programs end with the right status and one line, whatever happens."""

import os
import signal
import subprocess
import textwrap

from absl.testing import absltest

from retrain.version import VERSION
from tests.support.python_code import run_python

_PROGRAM = '''
"""Does little.

    usage

That is all.
"""
from absl import flags
from retrain.errors import UserError
from retrain.system import command_line
_NUMBER = flags.DEFINE_integer("number", 3, "Number of things.", lower_bound=1)
_ON = flags.DEFINE_boolean("on", True, "Whether to do it.")
_TEXT = flags.DEFINE_string("text", None, "Text to print.")
_SIZE = flags.DEFINE_enum("size", "s", ["s", "m"], "Size of the thing.")
_NAMES = flags.DEFINE_multi_string("name", [], "Name of a {long_word}.")
def main(arguments):
    {body}
command_line.run(main, __doc__)
'''
# Only the part before the hyphen would fit into the first line.
_LONG_WORD = f"{'x' * 50}-{'y' * 20}"


def _run(body: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    program = _PROGRAM.format(body=textwrap.indent(body, "    ").strip(), long_word=_LONG_WORD)
    return run_python(program, *arguments, **options)


class CommandLineTest(absltest.TestCase):
    def check(self, done, status: int, out: str = "", error: str = "") -> None:
        self.assertEqual((done.returncode, done.stdout, done.stderr), (status, out, error))

    def test_flags_and_arguments_can_be_in_any_order(self):
        done = _run("print(_NUMBER.value, arguments)", "a", "--number=5", "b", "--", "--c")
        self.check(done, 0, "5 ['a', 'b', '--c']\n")

    def test_the_status_is_what_main_returns(self):
        self.check(_run("return 1"), 1)

    def test_a_mistake_of_the_user_is_one_line(self):
        done = _run('raise UserError("--text=a\\nb is wrong")')
        self.check(done, 1, error="Error: --text=a\\nb is wrong\n")

    def test_a_defect_is_a_traceback(self):
        done = _run("raise KeyError(3)")
        self.assertEqual(done.returncode, 1)
        self.assertStartsWith(done.stderr, "Traceback")

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
        self.check(
            done,
            0,
            f"""Does little.

    usage

That is all.

Flags:
  --number=3
      Number of things.
  --[no]on
      Whether to do it.
  --text=
      Text to print.
  --size=s
      Size of the thing. One of: s, m.
  --name=
      Name of a
      {_LONG_WORD}.
  --version
      Print the version and exit.
""",
        )

    def test_the_version_is_printed_by_every_program(self):
        self.check(_run("raise AssertionError", "--version"), 0, f"retrain {VERSION}\n")
        self.check(_run("raise AssertionError", "a", "--version"), 0, f"retrain {VERSION}\n")

    def test_flags_after_two_hyphens_are_arguments(self):
        done = _run("print(arguments)", "--", "--version", "--help")
        self.check(done, 0, "['--version', '--help']\n")

    def test_an_interruption_is_one_line(self):
        done = _run(
            f"import os; os.kill(os.getpid(), {int(signal.SIGINT)}); import time; time.sleep(9)"
        )
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "^Error: interrupted.*\n$")

    def test_a_reader_that_exits_early_is_not_a_defect(self):
        read, write = os.pipe()
        os.close(read)
        done = _run("print('x' * 100000)", stdout=write)
        os.close(write)
        self.assertEqual((done.returncode, done.stderr), (1, ""))


if __name__ == "__main__":
    absltest.main()
