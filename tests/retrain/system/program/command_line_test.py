"""Programs end with the right status and one line, whatever happens."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.version import VERSION
from tests.support.python_code import run_python

_PROGRAM = '''
"""Does little.

    usage

That is all.
"""
from absl import flags
from retrain.errors import UserError
from retrain.system.program import command_line
_NUMBER = flags.DEFINE_integer("number", 3, "Number of things.", lower_bound=1)
_ON = flags.DEFINE_boolean("on", True, "Whether to do it.")
_TEXT = flags.DEFINE_string("text", None, "Text to print.")
_SHARE = flags.DEFINE_float("share", 0.5, "Share of it.", lower_bound=0, upper_bound=1)
_SIZE = flags.DEFINE_enum("size", "s", ["s", "m"], "Size of the thing.")
_NAMES = flags.DEFINE_multi_string("name", [], "Name of a {long_word}.")
def main(arguments):
    {body}
command_line.run(main, __doc__)
'''
# Only the part before the hyphen would fit into the first line.
_LONG_WORD = f"{'x' * 50}-{'y' * 20}"


def _program(body: str) -> str:
    return _PROGRAM.format(body=textwrap.indent(body, "    ").strip(), long_word=_LONG_WORD)


def _run(body: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    return run_python(_program(body), *arguments, **options)


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
            ("--numbr=3", "--numbr is not a flag; did you mean --number.?"),
            ("--colour=red", "--colour is not a flag"),
            ("--number=x", "--number=x must be a whole number"),
            ("--share=x", "--share=x must be a number"),
            ("--on=maybe", "--on=maybe must be true or false"),
            ("--number=0", "--number=0 must be a positive integer"),
            ("--share=2", "--share=2 must be a number from 0 to 1"),
            ("--size=x", "--size=x must be one of: s, m"),
            ("--share=nan", "--share=nan is not a number"),
        ):
            done = _run("pass", argument)
            self.assertEqual(done.returncode, 1)
            self.assertRegex(done.stderr, f"^Error: {part}; --help lists all flags\n$")

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
  --share=0.5
      Share of it.
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


_MAKE_FILE = """
import contextlib, os, pathlib, signal, time
path = pathlib.Path(_TEXT.value)
path.touch()
with contextlib.ExitStack() as cleanup:
    cleanup.callback(path.unlink)
    {body}
print("not interrupted")
"""


class InterruptionTest(parameterized.TestCase):
    def interrupt(self, body: str) -> subprocess.CompletedProcess:
        """Runs a program that creates a file and removes it in the end."""
        file = Path(self.create_tempdir().full_path, "unfinished")
        body = textwrap.indent(textwrap.dedent(body).strip(), "    ").strip()
        done = _run(_MAKE_FILE.format(body=body), f"--text={file}")
        self.assertFalse(file.exists())
        return done

    @parameterized.parameters(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    def test_every_signal_cleans_up_and_is_one_line(self, number):
        done = self.interrupt(f"os.kill(os.getpid(), {int(number)}); time.sleep(9)")
        self.assertEqual((done.returncode, done.stdout), (128 + number, ""))
        self.assertEqual(done.stderr, "Error: interrupted\n")

    def test_signals_that_come_together_count_as_one(self):
        done = self.interrupt("""
            cleanup.callback(os.kill, os.getpid(), signal.SIGTERM)
            cleanup.callback(os.kill, os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGHUP)
        """)
        self.assertEqual((done.returncode, done.stderr), (129, "Error: interrupted\n"))

    def test_a_later_signal_ends_a_cleanup_that_hangs(self):
        done = _run("""
import os, signal, threading, time
threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    os.kill(os.getpid(), signal.SIGTERM)
finally:
    time.sleep(30)
    print("slept")
""")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "", ""))

    def test_a_library_that_replaces_the_exception_changes_nothing(self):
        done = self.interrupt("""
            try:
                os.kill(os.getpid(), signal.SIGINT)
            except BaseException:
                raise ImportError("cannot import")
        """)
        self.assertEqual((done.returncode, done.stderr), (130, "Error: interrupted\n"))

    def test_an_exception_that_python_ignores_is_repeated(self):
        start = time.monotonic()
        done = self.interrupt("""
            class Slow:
                def __del__(self):
                    os.kill(os.getpid(), signal.SIGINT)
            Slow()
            time.sleep(30)
        """)
        self.assertEqual((done.returncode, done.stderr), (130, "Error: interrupted\n"))
        self.assertLess(time.monotonic() - start, 30)

    def test_a_program_can_say_what_was_interrupted(self):
        done = self.interrupt("""
            from retrain.system.program.interruption import Interruption
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt as error:
                raise Interruption("stopped after 3 images") from error
        """)
        self.assertEqual((done.returncode, done.stderr), (143, "Error: stopped after 3 images\n"))

    def test_ignored_signals_stay_ignored(self):
        done = run_python(
            "import signal, subprocess, sys\n"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
            "sys.exit(subprocess.run([sys.executable, '-c', sys.argv[1]]).returncode)",
            _program("import os, signal; os.kill(os.getpid(), signal.SIGHUP); print('done')"),
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "done\n", ""))

    @parameterized.parameters(signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    def test_a_signal_while_modules_are_loaded_ends_the_program_silently(self, number):
        done = run_python(
            "from retrain.system.program import exit_on_signals\n"
            f"import os; os.kill(os.getpid(), {int(number)}); print('loaded')"
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (128 + number, "", ""))

    def test_ctrl_c_while_the_signals_module_is_loaded_is_silent(self):
        done = run_python(
            "import builtins, os, signal\n"
            "load = builtins.__import__\n"
            "def interrupt(name, *args):\n"
            "    if name == 'retrain.system.program' and 'interruption' in (args[2] or ()):\n"
            "        os.kill(os.getpid(), signal.SIGINT)\n"
            "    return load(name, *args)\n"
            "builtins.__import__ = interrupt\n"
            "from retrain.system.program import exit_on_signals"
        )
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGINT, ""))

    def test_a_signal_while_python_exits_is_silent(self):
        done = _run(
            "import os, signal, threading, time\n"
            "def interrupt():\n"
            "    time.sleep(1)\n"
            "    os.kill(os.getpid(), signal.SIGINT)\n"
            "    time.sleep(9)\n"
            "threading.Thread(target=interrupt).start()\n"
            "print('done')"
        )
        self.assertEqual((done.returncode, done.stdout, done.stderr), (130, "done\n", ""))


class StreamsTest(parameterized.TestCase):
    def redirect(self, redirection: str, body: str = "print('x' * 100_000)"):
        """Runs a program with a redirection as in a shell, and reads the first line of a pipe."""
        command = f'"$0" -c "$1" {redirection}; echo $? >&9'
        file = Path(self.create_tempdir().full_path, "status")
        done = subprocess.run(
            ["sh", "-c", f"exec 9> {file}; ({command})", sys.executable, _program(body)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return int(file.read_text()), done.stdout, done.stderr

    def test_a_full_disk_is_one_line(self):
        for body in ("print('x')", "print('x' * 100_000)", "print('x', end='')"):
            status, _, shown = self.redirect("> /dev/full", body)
            expected = "Error: standard output cannot be written: No space left on device\n"
            self.assertEqual((status, shown), (1, expected), body)

    def test_help_on_a_full_disk_is_one_line(self):
        status, _, shown = self.redirect("--help > /dev/full")
        self.assertEqual(status, 1)
        self.assertRegex(shown, "^Error: standard output .*\n$")

    def test_a_closed_output_is_one_line_if_something_is_printed(self):
        status, _, shown = self.redirect(">&-")
        expected = "Error: standard output cannot be written: Bad file descriptor\n"
        self.assertEqual((status, shown), (1, expected))
        self.assertEqual(self.redirect(">&-", "pass"), (0, "", ""))

    def test_a_new_file_does_not_become_the_closed_output(self):
        folder = self.create_tempdir().full_path
        for redirection in (">&-", "2>&-", "<&-", "<&- >&- 2>&-"):
            body = f"""
file = open("{folder}/file", "w")
import logging, os
logging.error("message")
os.write(2, b"native")
assert file.fileno() > 2
"""
            self.assertEqual(self.redirect(redirection, body)[0], 0, redirection)
            self.assertEqual(Path(folder, "file").read_text(), "")

    @parameterized.parameters("2>&-", "2> /dev/full")
    def test_messages_that_cannot_be_written_are_dropped(self, redirection):
        body = "import logging; logging.warning('message'); print('result')"
        self.assertEqual(self.redirect(redirection, body), (0, "result\n", ""))
        status, _, _ = self.redirect(redirection, "raise UserError('mistake')")
        self.assertEqual(status, 1)

    def test_a_reader_that_exits_early_is_not_a_defect(self):
        read, write = os.pipe()
        os.close(read)
        for body in ("print('x' * 100_000)", "print('x')", "print('x', end='')"):
            done = _run(body, stdout=write)
            self.assertEqual((done.returncode, done.stderr), (1, ""), body)
        os.close(write)


if __name__ == "__main__":
    absltest.main()
