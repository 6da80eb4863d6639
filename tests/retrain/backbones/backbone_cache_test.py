"""A backbone is prepared once, whatever happens at the same time or half-way."""

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl.testing import absltest

from retrain.backbones import backbone_cache
from retrain.backbones.backbone import Backbone
from retrain.errors import UserError
from tests.support import privileges

_MADE_FROM = "0123456789abcdef0123"


def _description(fingerprint: str = _MADE_FROM) -> backbone_cache.BackboneInfo:
    return backbone_cache.BackboneInfo(
        "a net/work", fingerprint, 8, 9, (1.0, 2.0, 3.0), (4.0, 5.0, 6.0), "BGR", 7
    )


class PreparedTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.cache = Path(self.create_tempdir().full_path) / "new" / "cache"
        self.made = 0

    def make(self, folder: Path) -> backbone_cache.BackboneInfo:
        self.made += 1
        (folder / backbone_cache.GRAPH_FILE).write_bytes(b"a graph")
        (folder / backbone_cache.KERAS_FILE).write_bytes(b"layers")
        return _description()

    def backbone(self, made_from: str = _MADE_FROM, make=None) -> Backbone:
        return backbone_cache.load_or_prepare(
            self.cache, "a net/work", made_from, make or self.make
        )

    def left(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "backbones").iterdir())

    def test_it_is_made_once_and_read_then(self):
        first, second = self.backbone(), self.backbone()
        self.assertEqual(first, second)
        self.assertEqual(self.made, 1)
        self.assertEqual((first.name, first.height, first.width), ("a net/work", 8, 9))
        self.assertEqual((first.mean, first.channel_order), ((1.0, 2.0, 3.0), "BGR"))
        self.assertEqual(first.graph_file.read_bytes(), b"a graph")
        self.assertEqual(first.keras_file.read_bytes(), b"layers")
        self.assertIsNone(first.tflite_file)
        self.assertEqual(self.left(), ["a_net_work-0123456789abcdef"])

    def test_the_fingerprint_may_be_of_what_it_became(self):
        def make(folder: Path) -> backbone_cache.BackboneInfo:
            self.make(folder)
            return _description("of the graph")

        for _ in range(2):
            self.assertEqual(self.backbone(make=make).fingerprint, "of the graph")
        self.assertEqual(self.made, 1)

    def test_one_made_from_something_else_is_another(self):
        self.backbone()
        # Not even where the names of the folders are the same.
        self.backbone(_MADE_FROM[:16] + "4567")
        self.assertEqual(self.made, 2)

    def test_what_was_damaged_is_made_again(self):
        def shorten(path: Path) -> None:
            path.write_bytes(b"")

        def tell_lies(path: Path) -> None:
            path.with_name("backbone.json").write_text(json.dumps({"files": []}))

        for number, damage in enumerate((shorten, Path.unlink, tell_lies), 2):
            damage(self.backbone().graph_file)
            self.assertEqual(self.backbone().graph_file.read_bytes(), b"a graph")
            self.assertEqual(self.made, number)

    def test_of_many_who_want_it_at_once_one_makes_it(self):
        begun = threading.Event()

        def make(folder: Path) -> backbone_cache.BackboneInfo:
            begun.set()
            # The others have come when one of them says that it waits.
            self.assertTrue(waits.wait(30))
            return self.make(folder)

        waits = threading.Event()
        handler = logging.Handler()
        handler.emit = lambda record: waits.set() if "waiting" in record.getMessage() else None
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        logging.getLogger().setLevel(logging.INFO)
        with ThreadPoolExecutor(4) as pool:
            several = [pool.submit(self.backbone, make=make) for _ in range(4)]
            found = {one.result() for one in several}
        self.assertLen(found, 1)
        self.assertEqual(self.made, 1)
        self.assertEqual(self.left(), ["a_net_work-0123456789abcdef"])

    def test_the_next_makes_it_where_one_was_interrupted(self):
        def interrupted(folder: Path) -> backbone_cache.BackboneInfo:
            self.make(folder)
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.backbone(make=interrupted)
        self.assertEqual(self.left(), [])
        self.backbone()
        self.assertEqual(self.made, 2)

    def test_a_file_in_the_way_is_the_users_to_mend(self):
        self.cache.parent.mkdir()
        self.cache.write_text("mine")
        with self.assertRaisesRegex(UserError, "cannot be written: Not a directory"):
            self.backbone()
        self.assertEqual(self.cache.read_text(), "mine")

    def test_a_cache_that_cannot_be_written_is_the_users_to_mend(self):
        (self.cache / "backbones").mkdir(parents=True, mode=0o500)
        child = os.fork()
        if not child:
            status = 1
            try:
                privileges.drop()
                self.backbone()
            except UserError as error:
                status = 0 if "cannot be written: Permission denied" in str(error) else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.made, 0)


if __name__ == "__main__":
    absltest.main()
