"""Messages are plain lines, and libraries write nothing between them."""

import os
import sys

from absl.testing import absltest

from tests.support.python_code import run_python


class MessagesTest(absltest.TestCase):
    def test_messages_are_plain_lines_with_warnings_marked(self):
        done = run_python(
            """
import logging
from retrain.system.program.console import set_up_messages
set_up_messages()
logging.debug("not shown")
logging.info("%s images", "a\\nb")
logging.warning("careful \\udcff")
print("result \\udcff")
"""
        )
        self.assertEqual(done.stderr, "a\\nb images\nWarning: careful \\udcff\n")
        self.assertEqual(done.stdout, "result \\udcff\n")


class WarningsTest(absltest.TestCase):
    def run_program(self, code: str, **options):
        """Runs a program that warns from two threads, as libraries do, and then runs `code`."""
        return run_python(
            f"""
import sys, threading, warnings
from retrain.system.program import command_line
def warn():
    for kind in (UserWarning, RuntimeWarning, DeprecationWarning, FutureWarning, ResourceWarning):
        warnings.warn_explicit("do not\\npanic", kind, "/lib/library/file.py", 7, "library.file")
def main(arguments):
    warn()
    thread = threading.Thread(target=warn)
    thread.start()
    thread.join()
    import numpy
    numpy.log(numpy.zeros(1)), numpy.float32(1e38) * numpy.float32(10)
    {code}
sys.argv = ["program"]
command_line.run(main, "Usage.")
""",
            **options,
        )

    def test_warnings_of_libraries_are_not_shown(self):
        done = self.run_program("return 0")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_an_error_of_the_user_is_still_one_line(self):
        code = "from retrain.errors import UserError; raise UserError('too few images')"
        done = self.run_program(code)
        self.assertEqual((done.returncode, done.stderr), (1, "Error: too few images\n"))

    def test_the_last_warnings_are_shown_if_the_program_fails(self):
        done = self.run_program("raise ValueError('defect')")
        self.assertRegex(
            done.stderr,
            r"(?s)^Last warnings of Python libraries:\n/lib/library/file.py:7: UserWarning: do not"
            r"\npanic.*divide by zero.*Traceback.*ValueError: defect\n$",
        )

    def test_developers_can_ask_for_warnings(self):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = self.run_program("return 0", env={**environment, "PYTHONWARNINGS": "default"})
        self.assertIn("/lib/library/file.py:7: UserWarning: do not", done.stderr)


class QuietNativeLibrariesTest(absltest.TestCase):
    def test_only_native_messages_in_the_block_are_hidden(self):
        done = run_python(
            """
import os, sys
from retrain.system.program.console import quiet_native_libraries, set_up_messages
set_up_messages()
os.write(2, b"native before\\n")
with quiet_native_libraries():
    os.write(2, b"native greeting\\n")
    with quiet_native_libraries():
        os.write(2, b"native greeting\\n")
    os.write(2, b"native greeting\\n")
    print("python", file=sys.stderr)
os.write(2, b"native after\\n")
"""
        )
        self.assertEqual(done.stderr, "native before\npython\nnative after\n")

    def test_messages_after_a_block_that_failed_are_shown(self):
        done = run_python(
            """
import os
from retrain.system.program.console import quiet_native_libraries
try:
    with quiet_native_libraries():
        raise ValueError
except ValueError:
    os.write(2, b"native after\\n")
"""
        )
        self.assertEqual(done.stderr, "native after\n")

    def test_messages_after_the_last_block_of_all_threads_are_shown(self):
        done = run_python(
            """
import os, threading
from retrain.system.program.console import quiet_native_libraries
barrier = threading.Barrier(4)
def work():
    barrier.wait()
    for _ in range(200):
        with quiet_native_libraries():
            os.write(2, b"native greeting\\n")
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(2, b"native after\\n")
print(len(os.listdir("/dev/fd")) < 12)
"""
        )
        self.assertEqual((done.stderr, done.stdout), ("native after\n", "True\n"))


class QuietLibrariesTest(absltest.TestCase):
    def test_nothing_is_shown_in_the_block_and_everything_after_it(self):
        done = run_python(
            """
import logging, os, sys, warnings
from retrain.system.program.console import quiet_libraries, set_up_messages

def speak(when):
    os.write(2, f"native {when}\\n".encode())
    print("printed", when)
    print("to stderr", when, file=sys.stderr)
    logging.info("logged %s", when)
    logging.getLogger("library").error("logged by a library %s", when)
    if when == "inside":
        warnings.warn("warned inside")

set_up_messages()
with quiet_libraries():
    speak("inside")
try:
    with quiet_libraries():
        raise ValueError
except ValueError:
    speak("after")
"""
        )
        self.assertNotIn("inside", done.stdout + done.stderr)
        self.assertEqual(done.stdout, "printed after\n")
        for shown in ("native", "to stderr", "logged", "Error: logged by a library"):
            self.assertIn(f"{shown} after", done.stderr)


if __name__ == "__main__":
    absltest.main()
