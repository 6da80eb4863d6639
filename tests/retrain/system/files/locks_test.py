"""A file is open in one process at a time, and is removed if nothing was written."""

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.system.files import locks
from retrain.system.files.locks import (
    exclusive_access,
    exclusive_file,
    remove_unused_locks,
    try_lock,
)

_HOLDER = """
import pathlib, sys
from retrain.system.files.locks import exclusive_file
with exclusive_file(pathlib.Path(sys.argv[1]), "") as file:
    file.write(b"x")
    file.flush()
    print("locked", flush=True)
    sys.stdin.read()
"""


class LocksTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.path = Path(self.create_tempdir().full_path) / "file"

    def start_holder(self) -> subprocess.Popen:
        """Starts a process that has the file open until it is killed or its input ends."""
        process = subprocess.Popen(
            [sys.executable, "-c", _HOLDER, str(self.path)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.enter_context(process)
        self.addCleanup(process.kill)
        assert process.stdout
        self.assertEqual(process.stdout.readline(), "locked\n")
        return process


class ExclusiveAccessTest(LocksTestCase):
    def test_another_block_waits_and_nothing_is_left(self):
        order = []

        def work() -> None:
            with exclusive_access(self.path, "Another run has it; waiting."):
                order.append("second")

        thread = threading.Thread(target=work)
        with exclusive_access(self.path, "waiting"), self.assertLogs(level="INFO") as logged:
            thread.start()
            while not logged.records:
                time.sleep(0.01)
            order.append("first")
        thread.join()
        self.assertEqual(order, ["first", "second"])
        self.assertEmpty(list(self.path.parent.iterdir()))

    def test_only_unused_locks_are_removed(self):
        for name in (".lock-killed", "other"):
            (self.path.parent / name).touch()
        (self.path.parent / ".lock-notes").write_text("of the user")
        with exclusive_access(self.path, "waiting"):
            remove_unused_locks(self.path.parent)
            names = [path.name for path in self.path.parent.iterdir()]
        self.assertCountEqual(names, [".lock-file", ".lock-notes", "other"])


class ExclusiveFileTest(LocksTestCase):
    def test_content_is_appended_and_stays(self):
        for content in (b"one", b"two"):
            with exclusive_file(self.path, "waiting") as file:
                file.write(content)
        self.assertEqual(self.path.read_bytes(), b"onetwo")

    def test_an_empty_file_is_removed_also_after_an_error(self):
        with exclusive_file(self.path, "waiting"):
            self.assertTrue(self.path.exists())
        self.assertFalse(self.path.exists())
        with self.assertRaises(ZeroDivisionError), exclusive_file(self.path, "waiting"):
            raise ZeroDivisionError
        self.assertFalse(self.path.exists())

    def test_the_message_is_logged_once_if_several_processes_come_first(self):
        with (
            mock.patch.object(locks, "try_lock", return_value=False),
            mock.patch.object(locks, "is_at", side_effect=[False, False, True]),
            self.assertLogs(level="INFO") as logged,
            exclusive_file(self.path, "waiting"),
        ):
            self.assertTrue(self.path.exists())
        self.assertEqual(logged.output, ["INFO:root:waiting"])

    def test_a_process_waits_for_another_one_and_says_so(self):
        holder = self.start_holder()
        threading.Timer(0.3, holder.stdin.close).start()
        with (
            self.assertLogs(level="INFO") as logged,
            exclusive_file(self.path, "Another run has it; waiting.") as file,
        ):
            self.assertEqual(self.path.read_bytes(), b"x")
            file.write(b"y")
        self.assertEqual(logged.output, ["INFO:root:Another run has it; waiting."])
        self.assertEqual(self.path.read_bytes(), b"xy")

    def test_a_killed_process_holds_no_lock(self):
        holder = self.start_holder()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with self.assertNoLogs(level="INFO"), exclusive_file(self.path, "waiting"):
            pass

    def test_a_file_that_was_removed_while_waiting_is_made_again(self):
        inside = threading.Semaphore()
        problems = []

        def work() -> None:
            for _ in range(30):
                with exclusive_file(self.path, "waiting") as file:
                    if not inside.acquire(blocking=False):
                        problems.append("two at a time")
                        continue
                    if not os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                        problems.append("another file")
                    inside.release()

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        self.assertEqual(problems, [])
        self.assertFalse(self.path.exists())

    def test_a_missing_folder_is_an_error(self):
        with self.assertRaises(FileNotFoundError), exclusive_file(self.path / "x", "waiting"):
            pass

    @parameterized.parameters(*locks._NO_LOCKS)
    def test_a_file_system_without_locks_does_without(self, number):
        with (
            mock.patch("filelock.lock_descriptor", side_effect=OSError(number, "no locks")),
            exclusive_file(self.path, "waiting") as file,
        ):
            file.write(b"x")
        self.assertEqual(self.path.read_bytes(), b"x")


class TryLockTest(LocksTestCase):
    def open(self, path: Path, flags: int) -> int:
        descriptor = os.open(path, flags)
        self.addCleanup(os.close, descriptor)
        return descriptor

    def test_a_free_file_is_locked(self):
        descriptor = self.open(self.path, os.O_RDWR | os.O_CREAT)
        self.assertTrue(try_lock(descriptor))
        self.assertFalse(try_lock(self.open(self.path, os.O_RDWR)))

    def test_a_file_that_another_process_holds_is_not_locked(self):
        holder = self.start_holder()
        descriptor = self.open(self.path, os.O_RDWR)
        self.assertFalse(try_lock(descriptor))
        holder.kill()
        holder.wait()
        self.assertTrue(try_lock(descriptor))

    def test_a_folder_can_be_locked(self):
        self.assertTrue(try_lock(self.open(self.path.parent, os.O_RDONLY)))
        self.assertFalse(try_lock(self.open(self.path.parent, os.O_RDONLY)))

    @parameterized.parameters(*locks._NO_LOCKS)
    def test_the_caller_decides_what_a_file_system_without_locks_means(self, number):
        with mock.patch("filelock.lock_descriptor", side_effect=OSError(number, "no locks")):
            self.assertTrue(try_lock(0))
            self.assertFalse(try_lock(0, without_locks=False))

    def test_other_errors_are_raised(self):
        with (
            mock.patch("filelock.lock_descriptor", side_effect=OSError(errno.EIO, "broken")),
            self.assertRaisesRegex(OSError, "broken"),
        ):
            try_lock(0)


if __name__ == "__main__":
    absltest.main()
