"""Tests that the cache returns exactly what was stored, and that its errors are explained."""

import contextlib
import hashlib
import multiprocessing
import os
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from absl.testing import absltest

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.sqlite_file import open_file, transaction
from retrain.bottlenecks.sqlite_schema import DIGEST
from retrain.bottlenecks.store import FILE_NAME, BottleneckStore, open_store
from retrain.errors import UserError
from retrain.system.files.locks import exclusive_access
from tests.support import privileges

_WIDTH = 1280


def _digest(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def _vector(name: object) -> np.ndarray:
    seed = int.from_bytes(_digest(name), "big")
    return np.random.default_rng(seed).standard_normal(_WIDTH, np.float32).astype(np.float16)


def _rows(*names: object) -> list[tuple[bytes, int, np.ndarray]]:
    return [(_digest(name), 0, _vector(name)) for name in names]


def _keys(*names: object) -> list[tuple[bytes, int]]:
    return [(_digest(name), 0) for name in names]


def _version_of(path: Path) -> FileVersion:
    with path.open("rb") as file:
        return FileVersion.from_stat(os.fstat(file.fileno()))


def _read(
    store: BottleneckStore, keys: list[tuple[bytes, int]], width: int = _WIDTH
) -> tuple[np.ndarray, np.ndarray]:
    out = np.zeros((len(keys), width), np.float16)
    return out, store.get_vectors("recipe", keys, out)


# Functions that run in a separate process. A test fails if one of them raises.


def _open_and_put(folders: list[Path], name: str, barrier: Any) -> None:
    for folder in folders:
        barrier.wait(60)
        with open_store(folder) as store:
            store.put_vectors("recipe", _rows(name))


def _put_own_and_common(folder: Path, name: str, barrier: Any) -> None:
    with open_store(folder) as store:
        barrier.wait(60)
        for batch in range(50):
            store.put_vectors("recipe", _rows(f"{name}/{batch}", f"common/{batch}"))
            _, found = _read(store, _keys(f"{name}/{batch}"))
            assert found.all()


def _expect_refusal(folder: Path, part: str) -> None:
    privileges.drop()
    _refused(folder, part)


def _refused(folder: Path, *parts: str) -> None:
    try:
        open_store(folder).close()
    except UserError as error:
        for part in (f"--bottleneck_dir={folder}", *parts):
            assert part in str(error), f"{part} is not in: {error}"
        assert "\n" not in str(error), error
    else:
        raise AssertionError("the cache was opened")


def _fill_the_disk(folder: Path) -> None:
    import resource  # Windows does not have it.

    with open_store(folder) as store:
        store.put_vectors("recipe", _rows("first"))
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, resource.RLIM_INFINITY))
        stored = ["first"]
        try:
            for batch in range(1000):
                names = [f"{batch}/{i}" for i in range(10)]
                store.put_vectors("recipe", _rows(*names))
                stored += names
        except UserError as error:
            assert str(folder / FILE_NAME) in str(error), error
        else:
            raise AssertionError("the cache exceeded the limit")
        assert len(stored) > 1, "nothing could be written before the limit"
        vectors, found = _read(store, _keys(*stored))
        assert found.all()
        assert np.array_equal(vectors, [_vector(name) for name in stored])
        _, found = _read(store, _keys(*names))
        assert not found.any(), "a part of the failed batch was stored"
    (folder / "stored").write_text("\n".join(stored))


class BottleneckStoreTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.folder.chmod(0o755)
        self.path = self.folder / FILE_NAME
        self.processes = multiprocessing.get_context("spawn")

    def run_all(self, function: Callable[..., None], *arguments: tuple[Any, ...]) -> None:
        started = [self.processes.Process(target=function, args=a) for a in arguments]
        for process in started:
            process.start()
        for process in started:
            process.join()
        self.assertEqual([process.exitcode for process in started], [0] * len(started))

    # Vectors

    def test_vectors_are_the_same_bit_for_bit_after_reopening(self):
        odd = np.array([0, -0.0, 6e-8, -6e-8, 65504, -65504, 0.1, 1], np.float16)
        with open_store(self.folder) as store:
            store.put_vectors("recipe", [(_digest("odd"), 0, odd)])
            store.put_vectors("recipe", _rows("a", "b"))
        with open_store(self.folder) as store:
            read, found = _read(store, _keys("odd"), 8)
            self.assertTrue(found.all())
            self.assertEqual(read.tobytes(), odd.tobytes())
            read, found = _read(store, _keys("b", "a"))
            self.assertTrue(found.all())
            np.testing.assert_array_equal(read, [_vector("b"), _vector("a")])
            self.assertEqual(read.dtype, np.float16)

    def test_recipe_variant_and_image_must_all_match(self):
        with open_store(self.folder) as store:
            store.put_vectors("recipe", [(_digest("a"), 1, _vector("a"))])
            store.put_vectors("other", _rows("b"))
            for recipe, key, expected in (
                ("recipe", (_digest("a"), 1), True),
                ("recipe", (_digest("a"), 0), False),
                ("other", (_digest("a"), 1), False),
                ("unknown", (_digest("a"), 1), False),
                ("recipe", (_digest("b"), 0), False),
                ("other", (_digest("b"), 0), True),
            ):
                found = store.get_vectors(recipe, [key], np.zeros((1, _WIDTH), np.float16))
                self.assertEqual(found.tolist(), [expected], (recipe, key))
                digest, variant = key
                stored = store.stored_variants(recipe, _WIDTH).get(digest, 0)
                self.assertEqual(bool(stored >> variant & 1), expected)

    def test_missing_and_repeated_keys(self):
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows("a", "a", "b"))
            read, found = _read(store, _keys("a", "none", "b", "a"))
            self.assertEqual(found.tolist(), [True, False, True, True])
            np.testing.assert_array_equal(read[found], [_vector("a"), _vector("b"), _vector("a")])
            _, found = _read(store, [])
            self.assertEqual(found.shape, (0,))

    def test_out_of_another_shape_or_dtype_is_refused(self):
        with open_store(self.folder) as store:
            for out in (np.zeros((2, _WIDTH), np.float16), np.zeros((1, _WIDTH), np.float32)):
                with self.assertRaises(ValueError):
                    store.get_vectors("recipe", _keys("a"), out)

    def test_a_stored_vector_does_not_change(self):
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows("a"))
            store.put_vectors("recipe", [(_digest("a"), 0, _vector("of another run"))])
            read, _ = _read(store, _keys("a"))
            np.testing.assert_array_equal(read[0], _vector("a"))

    def test_a_vector_of_another_width_counts_as_missing_and_is_replaced(self):
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows("a", "b", "c"))
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            for blob, name in ((b"\0" * 2 * (_WIDTH - 1), "a"), (b"", "b"), (b"\0" * 9999, "c")):
                raw.execute(
                    f"UPDATE bottlenecks SET vector = ? WHERE {DIGEST} = ?",
                    (blob, _digest(name)),
                )
            raw.commit()
        with open_store(self.folder) as store:
            read, found = _read(store, _keys("a", "b", "c"))
            self.assertFalse(found.any())
            store.put_vectors("recipe", _rows("a", "b", "c"))
            read, found = _read(store, _keys("a", "b", "c"))
            self.assertTrue(found.all())
            np.testing.assert_array_equal(read, [_vector(name) for name in "abc"])

    def test_no_part_of_a_batch_with_an_error_is_stored(self):
        wrong_digest = (b"short", 0, _vector("b"))
        wrong_variant: Any = (_digest("b"), np.int64(0), _vector("b"))
        with open_store(self.folder) as store:
            for wrong in (wrong_digest, wrong_variant):
                with self.assertRaises(sqlite3.IntegrityError):
                    store.put_vectors("recipe", [*_rows("a"), wrong])
                _, found = _read(store, _keys("a"))
                self.assertFalse(found.any())

    def test_another_thread_is_refused(self):
        failures = []

        def use(store):
            try:
                _read(store, _keys("a"))
            except sqlite3.ProgrammingError as error:
                failures.append(error)

        with open_store(self.folder) as store:
            thread = threading.Thread(target=use, args=(store,))
            thread.start()
            thread.join()
        self.assertLen(failures, 1)

    # Earlier versions

    def test_a_cache_of_an_earlier_version_is_read_and_extended(self):
        column = "picture"
        image = self.folder / "a.png"
        image.write_bytes(b"one")
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            raw.executescript(f"""
                CREATE TABLE recipes (id INTEGER PRIMARY KEY, recipe TEXT NOT NULL UNIQUE);
                CREATE TABLE bottlenecks (
                    recipe INTEGER NOT NULL,
                    {column} BLOB NOT NULL CHECK (length({column}) = 32),
                    variant INTEGER NOT NULL CHECK (typeof(variant) = 'integer'),
                    vector BLOB NOT NULL
                );
                CREATE UNIQUE INDEX bottleneck_keys ON bottlenecks (recipe, {column}, variant);
                CREATE TABLE files (
                    device INTEGER NOT NULL,
                    inode INTEGER NOT NULL,
                    size INTEGER NOT NULL,
                    mtime_ns INTEGER NOT NULL,
                    ctime_ns INTEGER NOT NULL,
                    {column} BLOB NOT NULL CHECK (length({column}) = 32),
                    PRIMARY KEY (device, inode)
                ) WITHOUT ROWID;
                PRAGMA application_id = {0x42746C6E};
                PRAGMA user_version = 2;
                INSERT INTO recipes VALUES (1, 'recipe');
            """)
            row = (_digest("one"), _vector("one").tobytes())
            raw.execute("INSERT INTO bottlenecks VALUES (1, ?, 0, ?)", row)
            raw.execute(
                "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?)", (*_version_of(image), _digest("one"))
            )
            raw.commit()
        with open_store(self.folder) as store:
            self.assertEqual(store.get_digests([_version_of(image)]), [_digest("one")])
            self.assertEqual(store.stored_variants("recipe", _WIDTH), {_digest("one"): 1})
            store.put_vectors("recipe", _rows("two"))
            read, found = _read(store, _keys("one", "two"))
            self.assertTrue(found.all())
            np.testing.assert_array_equal(read, [_vector("one"), _vector("two")])

    # Files

    def test_a_moved_file_is_recognised_and_a_changed_file_is_not(self):
        image = self.folder / "a.png"
        image.write_bytes(b"one")
        with open_store(self.folder) as store:
            self.assertEqual(store.get_digests([_version_of(image)]), [None])
            store.put_digests([(_version_of(image), _digest("one"))])
        # On most file systems, renaming changes the ctime of a file. Renaming its folder does not.
        (self.folder / "old").mkdir()
        inside = self.folder / "old" / "b.png"
        inside.write_bytes(b"two")
        with open_store(self.folder) as store:
            store.put_digests([(_version_of(inside), _digest("two"))])
            (self.folder / "old").rename(self.folder / "new")
            moved = _version_of(self.folder / "new" / "b.png")
            self.assertEqual(
                store.get_digests([moved, _version_of(image), moved]),
                [_digest("two"), _digest("one"), _digest("two")],
            )
            before = _version_of(image)
            image.write_bytes(b"ONE!")
            self.assertEqual(store.get_digests([_version_of(image)]), [None])
            store.put_digests([(_version_of(image), _digest("ONE!"))])
            self.assertEqual(
                store.get_digests([before, _version_of(image)]), [None, _digest("ONE!")]
            )

    def test_each_field_of_a_version_matters(self):
        version = FileVersion(1, 2, 3, 4, 5)
        with open_store(self.folder) as store:
            store.put_digests([(version, _digest("a"))])
            others = [version._replace(**{field: 9}) for field in FileVersion._fields]
            self.assertEqual(store.get_digests([version, *others]), [_digest("a")] + [None] * 5)

    def test_the_largest_numbers_are_distinguished(self):
        versions = [
            FileVersion(1, inode, 0, mtime, 0)
            for inode, mtime in ((2**64 - 1, 0), (2**63, 0), (2**63 - 1, -1), (1, 2**63 + 5))
        ]
        with open_store(self.folder) as store:
            store.put_digests([(version, _digest(version)) for version in versions])
            self.assertEqual(
                store.get_digests(versions), [_digest(version) for version in versions]
            )

    # Several processes

    def test_processes_can_open_a_new_cache_at_the_same_time(self):
        folders = [self.folder / f"{i}" / "deep" for i in range(10)]
        barrier = self.processes.Barrier(4)
        names = ["p", "q", "r", "s"]
        self.run_all(_open_and_put, *((folders, name, barrier) for name in names))
        for folder in folders:
            with open_store(folder) as store:
                read, found = _read(store, _keys(*names))
                self.assertTrue(found.all(), folder)
                np.testing.assert_array_equal(read, [_vector(name) for name in names])

    def test_processes_can_write_at_the_same_time(self):
        barrier = self.processes.Barrier(2)
        self.run_all(
            _put_own_and_common, *((self.folder, name, barrier) for name in ("one", "two"))
        )
        names = [f"{kind}/{i}" for kind in ("one", "two", "common") for i in range(50)]
        with open_store(self.folder) as store:
            read, found = _read(store, _keys(*names))
            self.assertTrue(found.all())
            np.testing.assert_array_equal(read, [_vector(name) for name in names])

    # Unusable folders and files

    def test_an_empty_file_becomes_a_cache(self):
        self.path.touch()
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows("a"))
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            self.assertEqual(raw.execute("PRAGMA journal_mode").fetchone(), ("wal",))
            self.assertEqual(raw.execute("SELECT count(*) FROM bottlenecks").fetchone(), (1,))

    def test_the_log_of_a_deleted_cache_is_not_read(self):
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows("a"))
            log = (self.folder / f"{FILE_NAME}-wal").read_bytes()
        self.assertNotEmpty(log)
        self.path.unlink()
        (self.folder / f"{FILE_NAME}-wal").write_bytes(log)
        with open_store(self.folder) as store:
            _, found = _read(store, _keys("a"))
            self.assertFalse(found.any())
            store.put_vectors("recipe", _rows("a"))

    def test_a_file_that_is_not_a_cache_is_refused_and_not_changed(self):
        other = self.folder / "other.sqlite"
        with contextlib.closing(sqlite3.connect(other)) as raw:
            raw.execute("CREATE TABLE accounts (name TEXT)")
            raw.commit()
        for content in (b"xy", b"a text\n" * 1000, other.read_bytes()):
            self.path.write_bytes(content)
            _refused(self.folder, str(self.path), "is not a bottleneck cache", "delete the file")
            self.assertEqual(self.path.read_bytes(), content)
            self.assertCountEqual(self.folder.iterdir(), [self.path, other])

    def test_another_format_is_refused_and_not_changed(self):
        open_store(self.folder).close()
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            raw.execute("PRAGMA user_version = 99")
        content = self.path.read_bytes()
        _refused(self.folder, str(self.path), "newer version of retrain", "delete it")
        self.assertEqual(self.path.read_bytes(), content)

    def test_a_folder_with_the_name_of_the_file(self):
        self.path.mkdir()
        _refused(self.folder, str(self.path), "cannot be opened")

    def test_a_link_or_a_hard_link_in_place_of_a_file_is_refused(self):
        target = self.folder / "other"
        for name in (FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", f"{FILE_NAME}-journal"):
            for make_link in (Path.symlink_to, Path.hardlink_to):
                target.write_bytes(b"")
                make_link(self.folder / name, target)
                _refused(self.folder, f"cannot be opened ({name}: it is a ")
                (self.folder / name).unlink()
                self.assertEqual(target.read_bytes(), b"")

    def test_what_killed_runs_left_behind_is_removed(self):
        for folder in (self.folder, self.folder / "backbones"):
            folder.mkdir(exist_ok=True)
            (folder / ".lock-net-1").touch()
            (folder / ".lock-notes").write_text("of the user")
            (folder / ".retrain-unfinished-1").mkdir()
            (folder / ".retrain-unfinished-1/lock").touch()
            (folder / ".retrain-unfinished-1/1").mkdir()
        with exclusive_access(self.folder / "used", "waiting"):
            open_store(self.folder).close()
            self.assertTrue((self.folder / ".lock-used").exists())
        notes = ".lock-notes"
        names = [path.name for path in self.folder.rglob("*")]
        self.assertCountEqual(names, ["backbones", notes, notes, FILE_NAME])

    def test_a_file_with_the_name_of_the_folder(self):
        (self.folder / "file").touch()
        _refused(self.folder / "file", "not a folder")

    def test_a_folder_that_cannot_be_created(self):
        _refused(self.folder / ("x" * 300), "more than 255 bytes")
        (self.folder / "link").symlink_to("nowhere")
        _refused(self.folder / "link", "it is not a folder")

    def test_a_file_system_without_shared_memory(self):
        # The index of the log cannot be mapped into memory, as on a network file system.
        (self.folder / f"{FILE_NAME}-shm").mkdir()
        _refused(self.folder, str(self.path), "local disk")

    def test_a_read_only_folder(self):
        self.folder.chmod(0o555)
        self.run_all(_expect_refusal, (self.folder, "Permission denied"))

    def test_a_read_only_file(self):
        open_store(self.folder).close()
        self.path.chmod(0o444)
        self.folder.chmod(0o777)
        self.run_all(_expect_refusal, (self.folder, "cannot be written"))

    def test_a_damaged_file(self):
        names = range(100)
        with open_store(self.folder) as store:
            store.put_vectors("recipe", _rows(*names))
        size = self.path.stat().st_size
        with self.path.open("r+b") as file:
            file.seek(32768)
            file.write(b"\xa5" * (size - 32768))
        with (
            open_store(self.folder) as store,
            self.assertRaisesRegex(UserError, "bottlenecks.sqlite is damaged .*delete it"),
        ):
            _read(store, _keys(*names))

    def test_a_full_disk_loses_nothing_that_was_stored(self):
        self.run_all(_fill_the_disk, (self.folder,))
        stored = (self.folder / "stored").read_text().splitlines()
        with open_store(self.folder) as store:
            read, found = _read(store, _keys(*stored))
            self.assertTrue(found.all())
            np.testing.assert_array_equal(read, [_vector(name) for name in stored])
            store.put_vectors("recipe", _rows("after"))

    def test_a_full_disk_is_explained(self):
        with contextlib.closing(open_file(self.path)) as connection:
            connection.execute("PRAGMA max_page_count = 20")
            insert = "INSERT INTO recipes (recipe) VALUES (hex(zeroblob(1000000)))"
            with (
                self.assertRaisesRegex(UserError, "disk is full.*free disk space"),
                transaction(connection, self.path, "IMMEDIATE"),
            ):
                connection.execute(insert)
            with transaction(connection, self.path, "DEFERRED"):
                count = connection.execute("SELECT count(*) FROM recipes").fetchone()
            self.assertEqual(count, (0,))

    def test_programming_errors_are_not_user_errors(self):
        with (
            contextlib.closing(open_file(self.path)) as connection,
            self.assertRaises(sqlite3.OperationalError),
            transaction(connection, self.path, "DEFERRED"),
        ):
            connection.execute("SELECT * FROM no_such_table")


if __name__ == "__main__":
    absltest.main()
