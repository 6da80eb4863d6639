"""Paths are the user's, files are whole or absent, and lines stay lines."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from retrain.system import console, files, threads


def run_python(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs `program` in a process of its own, for what changes the whole process."""
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


class FolderTestCase(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*"))


class UserPathTest(FolderTestCase):
    def set_variable(self, name: str, value: str | None) -> None:
        self.enter_context(mock.patch.dict(os.environ, {name: value or ""}))

    def test_is_relative_to_the_folder_where_the_user_typed_under_bazel(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("photos"), Path("/somebody/here/photos"))
        self.assertEqual(files.user_path("./a/../../b/"), Path("/somebody/b"))
        self.assertEqual(files.user_path(""), Path("/somebody/here"))

    def test_is_relative_to_the_current_folder_elsewhere(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", None)
        self.assertEqual(files.user_path("photos"), Path.cwd() / "photos")

    def test_leaves_absolute_paths_alone(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("/tmp/x.pb"), Path("/tmp/x.pb"))
        self.assertEqual(files.user_path(Path("/tmp/x.pb")), Path("/tmp/x.pb"))

    def test_expands_the_home_folder(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.set_variable("HOME", "/somebody")
        self.assertEqual(files.user_path("~/photos"), Path("/somebody/photos"))

    def test_takes_the_home_of_nobody_for_a_name(self):
        self.set_variable("BUILD_WORKING_DIRECTORY", "/somebody/here")
        self.assertEqual(files.user_path("~no_such_user"), Path("/somebody/here/~no_such_user"))

    def test_keeps_symbolic_links_as_typed(self):
        (self.folder / "link").symlink_to("elsewhere")
        self.set_variable("BUILD_WORKING_DIRECTORY", str(self.folder))
        self.assertEqual(files.user_path("link"), self.folder / "link")


class AtomicFileTest(FolderTestCase):
    def test_makes_missing_folders_and_leaves_only_the_file(self):
        path = self.folder / "a" / "b" / "model.pb"
        files.write_file(path, "é\n")
        self.assertEqual(path.read_bytes(), b"\xc3\xa9\n")
        self.assertEqual(self.names(), ["a", "b", "model.pb"])

    def test_replaces_the_old_file_only_at_the_end(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        with files.atomic_file(path) as temporary:
            temporary.write_text("new")
            self.assertEqual(path.read_text(), "old")
        self.assertEqual(path.read_text(), "new")
        self.assertEqual(self.names(), ["model.pb"])

    def test_keeps_the_old_file_when_the_block_fails(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        for failure in (ValueError, KeyboardInterrupt):
            with self.assertRaises(failure), files.atomic_file(path) as temporary:
                temporary.write_text("half")
                raise failure
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["model.pb"])

    def test_full_disk_is_the_users_to_mend_and_keeps_the_old_file(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        # The kernel refuses to let a file grow beyond this limit as it does on a full disk.
        program = """
import pathlib, resource, sys
from retrain import errors, runtime
from tests import privileges
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    runtime.write_file(pathlib.Path(sys.argv[1]), b"x" * 2000)
except errors.UserError as error:
    print(error)
"""
        done = run_python(program, path)
        self.assertIn(f"{path} cannot be written: File too large", done.stdout, done.stderr)
        self.assertEqual(path.read_text(), "old")
        self.assertEqual(self.names(), ["model.pb"])

    def test_killed_process_keeps_the_old_file(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        program = """
import os, pathlib, signal, sys
from retrain import runtime
with runtime.atomic_file(pathlib.Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
        self.assertEqual(run_python(program, path).returncode, -9)
        self.assertEqual(path.read_text(), "old")

    def test_follows_the_users_mask(self):
        mask = os.umask(0o027)
        self.addCleanup(os.umask, mask)
        files.write_file(self.folder / "model.pb", b"")
        mode = stat.S_IMODE((self.folder / "model.pb").stat().st_mode)
        self.assertEqual(oct(mode), oct(0o640))

    def test_longest_name_of_any_alphabet(self):
        path = self.folder / ("模" * 85)  # 255 bytes, as much as a name can have.
        files.write_file(path, b"x")
        self.assertEqual(self.names(), [path.name])

    def test_folder_in_the_way(self):
        (self.folder / "model.pb").mkdir()
        with self.assertRaisesRegex(UserError, "model.pb cannot be written: Is a directory"):
            files.write_file(self.folder / "model.pb", b"x")
        self.assertEqual(self.names(), ["model.pb"])

    def test_file_where_a_folder_is_needed(self):
        (self.folder / "file").touch()
        with self.assertRaisesRegex(UserError, "cannot be written"):
            files.write_file(self.folder / "file" / "model.pb", b"x")

    def test_never_replaces_a_device(self):
        # As root it could: then nothing on the machine had a /dev/null any more.
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(UserError, "is not a regular file"):
            files.write_file(self.folder / "pipe", b"x")
        self.assertTrue((self.folder / "pipe").is_fifo())
        self.assertEqual(self.names(), ["pipe"])

    def test_other_errors_are_not_the_users(self):
        with self.assertRaises(FileNotFoundError), files.atomic_file(self.folder / "model.pb"):
            (self.folder / "missing").read_bytes()


class AtomicFolderTest(FolderTestCase):
    def test_makes_missing_folders_and_leaves_only_the_folder(self):
        path = self.folder / "a" / "b"
        with files.atomic_folder(path) as temporary:
            (temporary / "file").write_text("new")
        self.assertEqual([p.name for p in path.parent.iterdir()], ["b"])
        self.assertEqual((path / "file").read_text(), "new")

    def test_replaces_the_old_folder_only_at_the_end(self):
        path = self.folder / "b"
        (path / "deep").mkdir(parents=True)
        (path / "deep" / "old").write_text("old")
        with files.atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            self.assertTrue((path / "deep" / "old").exists())
        self.assertEqual([p.name for p in path.iterdir()], ["new"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])

    def test_keeps_the_old_folder_when_the_block_fails(self):
        path = self.folder / "b"
        path.mkdir()
        (path / "old").write_text("old")
        with self.assertRaises(ZeroDivisionError), files.atomic_folder(path) as temporary:
            (temporary / "new").write_text("new")
            raise ZeroDivisionError
        self.assertEqual([p.name for p in path.iterdir()], ["old"])
        self.assertEqual([p.name for p in self.folder.iterdir()], ["b"])

    def test_keeps_the_end_of_the_name_meanwhile(self):
        with files.atomic_folder(self.folder / "b.mlpackage") as temporary:
            self.assertEqual(temporary.suffix, ".mlpackage")

    def test_follows_the_users_mask(self):
        with files.atomic_folder(self.folder / "b") as temporary:
            (temporary / "c").mkdir(0o700)
            (temporary / "c" / "d").touch(0o600)
        mask = os.umask(0)
        os.umask(mask)
        modes = [path.stat().st_mode & 0o777 for path in sorted(self.folder.rglob("*"))]
        self.assertEqual(modes, [0o777 & ~mask, 0o777 & ~mask, 0o666 & ~mask])

    def test_file_in_the_way(self):
        path = self.folder / "b"
        path.write_text("mine")
        with self.assertRaisesRegex(UserError, "file of that name"), files.atomic_folder(path):
            pass
        self.assertEqual(path.read_text(), "mine")


class CheckOutputFolderTest(FolderTestCase):
    def check(self, path):
        files.check_output_folder(path, "out", {"Data", "Manifest.json"})

    def test_leaves_nothing_behind(self):
        self.check(self.folder / "a" / "b")
        self.assertEmpty(list(self.folder.iterdir()))

    def test_accepts_an_older_one(self):
        (self.folder / "Manifest.json").write_text("{}")
        self.check(self.folder)

    def test_refuses_a_folder_of_something_else(self):
        (self.folder / "Manifest.json").write_text("{}")
        (self.folder / "thesis.txt").write_text("years of work")
        with self.assertRaisesRegex(UserError, "--out=.*thesis.txt.*would be lost"):
            self.check(self.folder)

    def test_refuses_a_file(self):
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(UserError, "--out=.*is a file"):
            self.check(self.folder / "file")

    def test_refuses_a_place_below_a_file(self):
        (self.folder / "file").write_text("")
        with self.assertRaisesRegex(UserError, "--out=.*cannot be written"):
            self.check(self.folder / "file" / "b")


class CheckWritableTest(FolderTestCase):
    def test_leaves_nothing_behind(self):
        files.check_writable(self.folder / "a" / "b" / "model.pb", "output_graph")
        files.check_folder_writable(self.folder / "c" / "d", "summaries_dir")
        self.assertEqual(self.names(), [])

    def test_leaves_the_existing_file_alone(self):
        path = self.folder / "model.pb"
        path.write_text("old")
        files.check_writable(path, "output_graph")
        self.assertEqual((path.read_text(), self.names()), ("old", ["model.pb"]))

    def test_refuses_a_folder(self):
        with self.assertRaisesRegex(UserError, f"--output_graph={self.folder} is a folder"):
            files.check_writable(self.folder, "output_graph")

    def test_refuses_a_device(self):
        os.mkfifo(self.folder / "pipe")
        with self.assertRaisesRegex(UserError, "--output_graph=.*/pipe is not a regular file"):
            files.check_writable(self.folder / "pipe", "output_graph")

    def test_refuses_a_place_below_a_file(self):
        (self.folder / "file").touch()
        with self.assertRaisesRegex(UserError, "--output_graph=.*file: it is not a folder"):
            files.check_writable(self.folder / "file" / "model.pb", "output_graph")
        with self.assertRaisesRegex(UserError, "--summaries_dir=.*file: it is not a folder"):
            files.check_folder_writable(self.folder / "file", "summaries_dir")


class PermissionTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        # Not in the test's own folder: it can lie where nobody else may look at all.
        self.folder = Path(tempfile.mkdtemp(dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.addCleanup(self.folder.chmod, 0o755)

    def assert_permission_denied(self, call: str, message: str) -> None:
        """Checks what `call` raises where it is made by somebody without rights."""
        program = f"""
import os, pathlib, sys
from retrain import errors, runtime
from tests import privileges
folder = pathlib.Path(sys.argv[1])
privileges.drop()
try:
    {call}
except errors.UserError as error:
    print(error)
"""
        done = run_python(program, self.folder)
        self.assertIn(message, done.stdout, done.stderr)
        self.assertIn("Permission denied", done.stdout)

    def test_refuses_where_the_user_may_not_write(self):
        self.folder.chmod(0o555)
        self.assert_permission_denied(
            "runtime.check_writable(folder / 'new' / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/new/model.pb cannot be written: {self.folder}: ",
        )
        self.assert_permission_denied(
            "runtime.write_file(folder / 'new' / 'model.pb', b'')",
            f"{self.folder}/new/model.pb cannot be written",
        )

    def test_refuses_where_the_user_may_not_look(self):
        self.folder.chmod(0)
        self.assert_permission_denied(
            "runtime.check_writable(folder / 'model.pb', 'output_graph')",
            f"--output_graph={self.folder}/model.pb cannot be written",
        )
        self.assert_permission_denied(
            "runtime.check_folder_writable(folder / 'a' / 'b', 'summaries_dir')",
            f"--summaries_dir={self.folder}/a/b cannot be written",
        )
        self.assert_permission_denied(
            "runtime.write_file(folder / 'model.pb', b'')",
            f"{self.folder}/model.pb cannot be written",
        )


class MessagesTest(parameterized.TestCase):
    @parameterized.parameters(
        ("daisy é 模 😀", "daisy é 模 😀"),
        ("a\nb\r\t", r"a\nb\r\t"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\u2028", r"\u2028"),
        ("\udcff", r"\udcff"),
        (Path("x\ny"), r"x\ny"),
    )
    def test_one_line_escapes_what_breaks_a_line(self, text, expected):
        self.assertEqual(console.one_line(text), expected)

    def test_messages_are_plain_lines_with_warnings_marked(self):
        program = """
import logging
from retrain import runtime
runtime.set_up_messages()
logging.debug("not shown")
logging.info("%s images", "a\\nb")
logging.warning("careful \\udcff")
print("result \\udcff")
"""
        done = run_python(program)
        self.assertEqual(done.stderr, "a\\nb images\nWarning: careful \\udcff\n")
        self.assertEqual(done.stdout, "result \\udcff\n")


class QuietNativeLibrariesTest(absltest.TestCase):
    def test_drops_native_output_only_and_only_meanwhile(self):
        program = """
import os, sys
from retrain import runtime
runtime.set_up_messages()
os.write(2, b"native before\\n")
with runtime.quiet_native_libraries():
    os.write(2, b"native greeting\\n")
    with runtime.quiet_native_libraries():
        os.write(2, b"native greeting\\n")
    os.write(2, b"native greeting\\n")
    print("python", file=sys.stderr)
os.write(2, b"native after\\n")
"""
        done = run_python(program)
        self.assertEqual(done.stderr, "native before\npython\nnative after\n")

    def test_ends_when_the_block_fails(self):
        program = """
import os
from retrain import runtime
try:
    with runtime.quiet_native_libraries():
        raise ValueError
except ValueError:
    os.write(2, b"native after\\n")
"""
        self.assertEqual(run_python(program).stderr, "native after\n")

    def test_ends_with_the_last_of_several_threads(self):
        program = """
import os, threading
from retrain import runtime
barrier = threading.Barrier(4)
def work():
    barrier.wait()
    for _ in range(200):
        with runtime.quiet_native_libraries():
            os.write(2, b"native greeting\\n")
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(2, b"native after\\n")
print(len(os.listdir("/dev/fd")) < 10)
"""
        done = run_python(program)
        self.assertEqual((done.stderr, done.stdout), ("native after\n", "True\n"))


class QuietLibrariesTest(absltest.TestCase):
    def test_drops_what_they_say_in_any_way_while_the_block_lasts(self):
        program = """
import logging, os, sys, warnings
from retrain import runtime

def speak(when):
    os.write(2, f"native {when}\\n".encode())
    print("printed", when)
    print("to stderr", when, file=sys.stderr)
    logging.info("logged %s", when)
    logging.getLogger("library").error("logged by a library %s", when)
    warnings.warn(f"warned {when}")

runtime.set_up_messages()
with runtime.quiet_libraries():
    speak("meanwhile")
try:
    with runtime.quiet_libraries():
        raise ValueError
except ValueError:
    speak("after")
"""
        done = run_python(program)
        self.assertNotIn("meanwhile", done.stdout + done.stderr)
        self.assertEqual(done.stdout, "printed after\n")
        for said in ("native", "to stderr", "logged", "Error: logged by a library", "warned"):
            self.assertIn(f"{said} after", done.stderr)


class ParallelMapTest(absltest.TestCase):
    def test_keeps_the_order(self):
        # Each waits for the one after it, so they end in another order than they began.
        events = [threading.Event() for _ in range(3)]

        def work(index: int) -> int:
            if index < 2:
                events[index + 1].wait(timeout=30)
            events[index].set()
            return index

        self.assertEqual(list(threads.parallel_map(work, range(3), 3)), [0, 1, 2])

    def test_many_items(self):
        result = list(threads.parallel_map(lambda x: x * x, range(1000), 4))
        self.assertEqual(result, [x * x for x in range(1000)])

    def test_nothing(self):
        self.assertEqual(list(threads.parallel_map(str, [], 2)), [])

    def test_takes_few_items_ahead(self):
        taken = []

        def items():
            for item in range(1000):
                taken.append(item)
                yield item

        results = threads.parallel_map(str, items(), 2)
        self.assertEqual(taken, [])
        for done in range(1, 4):
            next(results)
            self.assertLessEqual(len(taken), 32 + done - 1)
        results.close()

    def test_stops_early(self):
        begun = []
        release = threading.Event()

        def work(item: int) -> int:
            begun.append(item)
            if item:
                release.wait(timeout=30)
            return item

        results = threads.parallel_map(work, range(1000), 2)
        next(results)
        threading.Timer(0.1, release.set).start()
        results.close()
        self.assertLessEqual(len(begun), 3)

    def test_one_worker_is_the_caller(self):
        results = threads.parallel_map(lambda _: threading.current_thread(), range(3), 1)
        self.assertEqual(set(results), {threading.current_thread()})

    def test_raises_what_the_function_raises_and_stops(self):
        begun = []

        def work(item: int) -> int:
            begun.append(item)
            if item == 3:
                raise ValueError("three")
            return item

        results = threads.parallel_map(work, range(1000), 2)
        received: list[int] = []
        with self.assertRaisesRegex(ValueError, "three"):
            received.extend(results)
        self.assertLess(len(begun), 100)

    def test_raises_what_the_items_raise(self):
        def items():
            yield 1
            raise ValueError("no more")

        with self.assertRaisesRegex(ValueError, "no more"):
            list(threads.parallel_map(str, items(), 2))


class LoadInBackgroundTest(absltest.TestCase):
    def test_runs_it_in_another_thread(self):
        names = []
        done = threading.Event()

        def load():
            names.append(threading.current_thread())
            done.set()

        threads.load_in_background(load)
        self.assertTrue(done.wait(timeout=30))
        self.assertIsNot(names[0], threading.current_thread())

    def test_says_nothing_of_an_error(self):
        program = """
from retrain import runtime
runtime.load_in_background(lambda: 1 / 0)
"""
        done = run_python(program)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


class ProcessorsTest(absltest.TestCase):
    def test_counts_those_that_this_process_may_use(self):
        program = """
import os
from retrain import runtime
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    assert runtime.processors() == 1
print(runtime.processors())
"""
        self.assertGreaterEqual(int(run_python(program).stdout), 1)


if __name__ == "__main__":
    absltest.main()
