"""What native libraries say in a quiet block is shown if the program fails, and only then."""

import os
import signal
import sys
import time
from pathlib import Path

from absl.testing import absltest, parameterized

from retrain.system.program.native_messages import HEADING, LIMIT
from tests.support.python_code import run_python

_PROGRAM = """
import ctypes, os, signal, sys, threading
from retrain.errors import UserError
from retrain.system.program import command_line
from retrain.system.program.console import quiet_libraries, quiet_native_libraries

def say(text):
    os.write(2, text.encode() + b"\\n")

def main(_):
    {body}

command_line.run(main, "usage")
"""


def _run(body: str, **options):
    return run_python(_PROGRAM.format(body=body.strip().replace("\n", "\n    ")), **options)


class NativeMessagesTest(parameterized.TestCase):
    def test_they_are_printed_before_the_traceback_of_a_defect(self):
        done = _run("""
with quiet_native_libraries():
    say("reason one")
with quiet_libraries():
    say("reason two")
    raise RuntimeError("defect")
""")
        self.assertStartsWith(done.stderr, f"{HEADING}\nreason one\nreason two\nTraceback")
        self.assertEndsWith(done.stderr, "RuntimeError: defect\n")
        self.assertEqual(done.returncode, 1)

    def test_without_messages_there_is_no_heading(self):
        done = _run("""
with quiet_native_libraries():
    pass
raise RuntimeError("defect")
""")
        self.assertStartsWith(done.stderr, "Traceback")

    @parameterized.parameters(
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("raise UserError('--flag=x is wrong')", 1, "Error: --flag=x is wrong\n"),
        ("raise KeyboardInterrupt", 130, "Error: interrupted\n"),
    )
    def test_they_are_not_printed_otherwise(self, end, status, shown):
        done = _run(f"""
with quiet_native_libraries():
    say("greeting")
    {end}
""")
        self.assertEqual((done.returncode, done.stderr), (status, shown))

    @parameterized.parameters(
        ("os.abort()", signal.SIGABRT, "Aborted"),
        ("ctypes.string_at(0)", signal.SIGSEGV, "Segmentation fault"),
    )
    def test_they_are_printed_if_native_code_ends_the_process(self, end, number, name):
        done = _run(f"""
with quiet_native_libraries():
    say("an older message")
with quiet_native_libraries():
    say("Check failed: a == b")
    {end}
""")
        self.assertEqual(done.returncode, -number)
        self.assertEndsWith(done.stderr, f"{HEADING}\nCheck failed: a == b\n")
        # And where in the Python code it happened.
        self.assertStartsWith(done.stderr, f"Fatal Python error: {name}")
        self.assertIn("in main\n", done.stderr)

    def test_they_are_printed_if_native_code_exits_at_once(self):
        done = _run("""
with quiet_native_libraries():
    say("reason")
    os._exit(3)
""")
        self.assertEqual((done.returncode, done.stderr), (3, f"{HEADING}\nreason\n"))

    def test_they_are_printed_if_another_thread_ends_the_process(self):
        done = _run("""
with quiet_native_libraries():
    say("reason")
    threading.Thread(target=os.abort).start()
    threading.Event().wait()
""")
        self.assertEqual(done.returncode, -signal.SIGABRT)
        self.assertEndsWith(done.stderr, f"{HEADING}\nreason\n")

    def test_nothing_is_printed_if_the_process_is_killed_outside_of_a_quiet_block(self):
        done = _run("""
with quiet_native_libraries():
    say("greeting")
os.kill(os.getpid(), signal.SIGKILL)
""")
        self.assertEqual((done.returncode, done.stderr), (-signal.SIGKILL, ""))

    @parameterized.parameters("raise RuntimeError", "os._exit(3)")
    def test_only_the_last_of_many_are_printed(self, end):
        done = _run(f"""
with quiet_native_libraries():
    for number in range(30_000):
        say(f"message {{number}}")
    {end}
""")
        self.assertIn("\nmessage 29999\n", done.stderr)
        self.assertNotIn("\nmessage 1\n", done.stderr)
        self.assertBetween(len(done.stderr), LIMIT - 100, LIMIT + 1000)

    def test_a_child_process_that_ends_is_not_the_end(self):
        done = _run("""
with quiet_native_libraries():
    child = os.fork()
    if not child:
        sys.exit(0)
    os.waitpid(child, 0)
    say("reason")
    os.abort()
""")
        self.assertEndsWith(done.stderr, f"{HEADING}\nreason\n")

    def test_no_process_and_no_file_is_left(self):
        folder = Path(self.create_tempdir().full_path)
        done = _run(
            """
spawn = os.posix_spawn
os.posix_spawn = lambda *args, **options: print(spawn(*args, **options))
with quiet_native_libraries():
    say("greeting")
""",
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(folder)},
        )
        self.assertEmpty(list(folder.iterdir()))
        watcher = int(done.stdout)
        for _ in range(100):
            try:
                os.kill(watcher, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
        self.fail("the watcher is still there")

    def test_without_a_place_for_the_file_the_program_runs(self):
        done = _run(
            """
import tempfile
tempfile.mkstemp = lambda **_: (_ for _ in ()).throw(OSError("no place"))
with quiet_native_libraries():
    say("greeting")
print("done")
""",
        )
        self.assertEqual((done.stdout, done.stderr), ("done\n", ""))


if __name__ == "__main__":
    absltest.main()
