"""Damaged, planted and foreign caches: no wrong vector is read, and every error is explained."""

import contextlib
import hashlib
import random
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.bottlenecks.file_version import FileVersion
from retrain.bottlenecks.row_checksum import are_finite
from retrain.bottlenecks.sqlite_schema import DIGEST
from retrain.bottlenecks.store import FILE_NAME, BottleneckStore, open_store
from retrain.errors import UserError

_COUNT = 300
_WIDTH = 64
_PAGE = 32768
_RECIPES = ("one recipe", "another recipe")
_CASES = 150


def _digest(number: int) -> bytes:
    return hashlib.sha256(b"%d" % number).digest()


def _vectors(recipe: str) -> np.ndarray:
    rng = np.random.default_rng(len(recipe))
    return rng.standard_normal((_COUNT, _WIDTH)).astype(np.float16)


_VECTORS = {recipe: _vectors(recipe) for recipe in _RECIPES}
_KEYS = [(_digest(number), number % 3) for number in range(_COUNT)]
_VERSIONS = [FileVersion(1, number, 3, 4, 5) for number in range(_COUNT)]


def _put(store: BottleneckStore, recipe: str, rows: list[int]) -> None:
    store.put_vectors(recipe, [(*_KEYS[row], _VECTORS[recipe][row]) for row in rows])


def _read(store: BottleneckStore, recipe: str) -> tuple[np.ndarray, np.ndarray]:
    out = np.zeros((_COUNT, _WIDTH), np.float16)
    return out, store.get_vectors(recipe, _KEYS, out)


def _flip_bits(content: bytearray, rng: random.Random) -> None:
    for _ in range(rng.choice((1, 1, 10, 200))):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)


def _truncate(content: bytearray, rng: random.Random) -> None:
    del content[rng.randrange(len(content)) :]


def _overwrite(content: bytearray, rng: random.Random) -> None:
    start, length = rng.randrange(len(content)), rng.choice((16, 512, _PAGE))
    length = min(length, len(content) - start)
    content[start : start + length] = rng.choice((bytes(length), rng.randbytes(length)))


def _change_header(content: bytearray, rng: random.Random) -> None:
    content[rng.randrange(100)] = rng.randrange(256)


def _change_page_header(content: bytearray, rng: random.Random) -> None:
    page = rng.randrange(len(content) // _PAGE) * _PAGE
    content[page + rng.randrange(200)] = rng.randrange(256)


def _exchange_pages(content: bytearray, rng: random.Random) -> None:
    first, second = rng.sample(range(0, len(content), _PAGE), 2)
    page = content[first : first + _PAGE]
    content[first : first + _PAGE] = content[second : second + _PAGE]
    content[second : second + _PAGE] = page


_DAMAGES = (
    _flip_bits,
    _truncate,
    _overwrite,
    _change_header,
    _change_page_header,
    _exchange_pages,
)


class StoreDamageTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.enter_context(tempfile.TemporaryDirectory()))
        self.path = self.folder / FILE_NAME
        with open_store(self.folder) as store:
            for recipe in _RECIPES:
                _put(store, recipe, list(range(_COUNT)))
            store.put_digests(list(zip(_VERSIONS, map(_digest, range(_COUNT)), strict=True)))

    def execute(self, *statements: str) -> None:
        with contextlib.closing(sqlite3.connect(self.path)) as raw:
            for statement in statements:
                raw.execute(statement)
            raw.commit()

    def assert_exact(self, store: BottleneckStore, recipe: str) -> np.ndarray:
        """Checks that all found vectors are right, and returns which ones were found."""
        vectors, found = _read(store, recipe)
        np.testing.assert_array_equal(vectors[found], _VECTORS[recipe][found])
        return found

    def use(self) -> str:
        """Uses the cache like a run, and returns what happened."""
        try:
            with open_store(self.folder) as store:
                for recipe in _RECIPES:
                    found = self.assert_exact(store, recipe)
                    store.stored_variants(recipe, _WIDTH)
                    _put(store, recipe, np.flatnonzero(~found).tolist())
                    self.assert_exact(store, recipe)
                store.get_digests(_VERSIONS)
                return "repaired" if store.damaged_count else "unharmed"
        except UserError as error:
            self.assertIn(str(self.path), str(error))
            self.assertNotIn("\n", str(error))
            return "refused"

    def test_no_damage_leads_to_a_wrong_vector_or_an_unexplained_error(self):
        content = self.path.read_bytes()
        rng = random.Random(14)
        outcomes: Counter[str] = Counter()
        for case in range(_CASES):
            damage: Callable[[bytearray, random.Random], None] = _DAMAGES[case % len(_DAMAGES)]
            damaged = bytearray(content)
            damage(damaged, rng)
            for leftover in self.folder.iterdir():
                leftover.unlink()
            self.path.write_bytes(damaged)
            with self.subTest(case=case, damage=damage.__name__):
                outcomes[self.use()] += 1
        self.assertContainsSubset(("repaired", "refused"), outcomes)

    @parameterized.parameters(
        "vector = zeroblob(length(vector))",
        "vector = CAST(replace(hex(vector), '0', '1') AS TEXT)",
        "checksum = checksum + 1",
        "checksum = 'text'",
        "checksum = x'00'",
    )
    def test_changed_rows_are_missing_and_can_be_stored_again(self, change):
        self.execute(f"UPDATE bottlenecks SET {change} WHERE variant = 1 AND recipe = 1")
        with open_store(self.folder) as store:
            found = self.assert_exact(store, _RECIPES[0])
            np.testing.assert_array_equal(found, np.arange(_COUNT) % 3 != 1)
            self.assertTrue(self.assert_exact(store, _RECIPES[1]).all())
            _put(store, _RECIPES[0], np.flatnonzero(~found).tolist())
            self.assertTrue(self.assert_exact(store, _RECIPES[0]).all())

    def test_a_vector_of_another_image_is_missing(self):
        self.execute(
            "UPDATE bottlenecks SET (vector, checksum) = "
            "(SELECT vector, checksum FROM bottlenecks WHERE rowid = 2) WHERE rowid = 1"
        )
        with open_store(self.folder) as store:
            found = self.assert_exact(store, _RECIPES[0])
        self.assertEqual(np.flatnonzero(~found).tolist(), [0])

    def test_a_vector_of_another_recipe_is_missing(self):
        self.execute("UPDATE recipes SET id = -id", "UPDATE recipes SET id = 3 + id")
        with open_store(self.folder) as store:
            self.assertFalse(self.assert_exact(store, _RECIPES[0]).any())

    @parameterized.parameters(np.nan, np.inf, -np.inf)
    def test_a_vector_that_is_not_finite_is_missing(self, value):
        vector = np.zeros(_WIDTH, np.float16)
        vector[5] = value
        with open_store(self.folder) as store:
            store.put_vectors("recipe", [(_digest(0), 0, vector)])
            out = np.zeros((1, _WIDTH), np.float16)
            self.assertFalse(store.get_vectors("recipe", [(_digest(0), 0)], out).any())
            self.assertEqual(store.damaged_count, 1)

    def test_finite_numbers_are_all_except_infinities_and_nan(self):
        values = np.arange(2**16, dtype=np.uint16).view(np.float16)[:, np.newaxis]
        np.testing.assert_array_equal(are_finite(values), np.isfinite(values[:, 0]))

    @parameterized.parameters(
        "CREATE TRIGGER t AFTER INSERT ON bottlenecks BEGIN UPDATE bottlenecks SET vector = x''; "
        "END",
        "CREATE VIEW v AS SELECT * FROM bottlenecks",
        "CREATE TABLE other (name TEXT)",
        "CREATE INDEX i ON bottlenecks (hex(vector))",
        "ALTER TABLE bottlenecks ADD COLUMN more AS (hex(vector))",
        "DROP INDEX bottleneck_keys",
        "DROP TABLE files",
    )
    def test_a_file_with_other_definitions_is_refused_and_not_changed(self, definition):
        self.execute(definition, "PRAGMA journal_mode = DELETE")
        content = self.path.read_bytes()
        with self.assertRaisesRegex(UserError, "its tables are different ones.* delete the file"):
            open_store(self.folder)
        self.assertEqual(self.path.read_bytes(), content)

    def test_a_view_in_place_of_a_table_is_refused(self):
        self.execute(
            "ALTER TABLE bottlenecks RENAME TO hidden",
            "CREATE VIEW bottlenecks AS SELECT * FROM hidden",
        )
        self.assertEqual(self.use(), "refused")

    def test_statistics_of_the_user_are_allowed(self):
        self.execute("ANALYZE")
        self.assertEqual(self.use(), "unharmed")

    @parameterized.parameters("-5", "1e300", "123456789012", "'text'", "x'00'", "2.5")
    def test_variants_that_cannot_be_are_ignored(self, variant):
        self.execute(
            "PRAGMA ignore_check_constraints = ON",
            f"UPDATE bottlenecks SET variant = {variant} WHERE rowid = 1",
        )
        with open_store(self.folder) as store:
            self.assertLen(store.stored_variants(_RECIPES[0], _WIDTH), _COUNT - 1)

    @parameterized.parameters("7", "'text'", "x'ff'", "CAST(x'ff' AS TEXT)")
    def test_digests_that_cannot_be_are_unknown(self, digest):
        self.execute(
            "PRAGMA ignore_check_constraints = ON",
            f"UPDATE files SET {DIGEST} = {digest} WHERE inode = 7",
        )
        with open_store(self.folder) as store:
            digests = store.get_digests(_VERSIONS)
        self.assertEqual([row for row in range(_COUNT) if digests[row] != _digest(row)], [7])
        self.assertIsNone(digests[7])


if __name__ == "__main__":
    absltest.main()
