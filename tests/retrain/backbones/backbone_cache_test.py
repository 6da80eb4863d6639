"""A backbone is prepared once, even if processes run at the same time or are interrupted."""

import json
import logging
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from absl.testing import absltest

from retrain.backbones import backbone_cache
from retrain.backbones.backbone import Backbone, BackboneInfo
from retrain.errors import UserError
from tests.support import privileges

_DIGEST = "0123456789abcdef0123"
_FOLDER = "a_net_work-0123456789abcdef"

# The file that the cache has contained since its first version.
_BACKBONE_JSON = """{
  "files": {
    "graph.pb": 7,
    "network.tflite": 5
  },
  "made_from": "0123456789abcdef0123",
  "name": "a net/work",
  "fingerprint": "of the weights",
  "height": 8,
  "width": 9,
  "mean": [1.0, 2.0, 3.0],
  "std": [4.0, 5.0, 6.0],
  "channel_order": "BGR",
  "feature_width": 7,
  "fine_tuned": true
}
"""


def _info(fingerprint: str = _DIGEST) -> BackboneInfo:
    return BackboneInfo(
        name="a net/work",
        fingerprint=fingerprint,
        height=8,
        width=9,
        mean=(1.0, 2.0, 3.0),
        std=(4.0, 5.0, 6.0),
        channel_order="BGR",
        feature_width=7,
    )


class BackboneCacheTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.cache = Path(self.create_tempdir().full_path) / "new" / "cache"
        self.prepared = 0

    def prepare(self, folder: Path) -> BackboneInfo:
        self.prepared += 1
        (folder / backbone_cache.GRAPH_FILE).write_bytes(b"a graph")
        (folder / backbone_cache.KERAS_FILE).write_bytes(b"layers")
        return _info()

    def load(self, source_digest: str = _DIGEST, prepare=None) -> Backbone:
        return backbone_cache.load_or_prepare(
            self.cache, "a net/work", source_digest, prepare or self.prepare
        )

    def cached(self) -> list[str]:
        return sorted(path.name for path in (self.cache / "backbones").iterdir())

    def test_a_backbone_is_prepared_once_and_then_loaded(self):
        first, second = self.load(), self.load()
        self.assertEqual(first, second)
        self.assertEqual(self.prepared, 1)
        self.assertEqual((first.name, first.height, first.width), ("a net/work", 8, 9))
        self.assertEqual((first.mean, first.channel_order), ((1.0, 2.0, 3.0), "BGR"))
        self.assertEqual(first.graph_file.read_bytes(), b"a graph")
        self.assertEqual(first.keras_file.read_bytes(), b"layers")
        self.assertIsNone(first.tflite_file)
        self.assertEqual(self.cached(), [_FOLDER])

    def test_the_folder_of_an_earlier_version_is_loaded(self):
        folder = self.cache / "backbones" / _FOLDER
        folder.mkdir(parents=True)
        (folder / "graph.pb").write_bytes(b"a graph")
        (folder / "network.tflite").write_bytes(b"a net")
        (folder / "backbone.json").write_text(_BACKBONE_JSON)
        expected = Backbone(
            name="a net/work",
            fingerprint="of the weights",
            height=8,
            width=9,
            mean=(1.0, 2.0, 3.0),
            std=(4.0, 5.0, 6.0),
            channel_order="BGR",
            feature_width=7,
            graph_file=folder / "graph.pb",
            tflite_file=folder / "network.tflite",
            fine_tuned=True,
        )
        self.assertEqual(self.load(), expected)
        self.assertEqual(self.prepared, 0)

    def test_impossible_attributes_of_an_earlier_version_lead_to_a_new_preparation(self):
        folder = self.load().graph_file.parent
        content = json.loads((folder / "backbone.json").read_text())
        for number, (key, value) in enumerate(
            [
                *(("height", "8"), ("width", 0), ("feature_width", 7.5), ("fingerprint", None)),
                *(("mean", [1, 2]), ("std", [1, 2, "x"]), ("std", [1, 2, float("nan")])),
                *(("unknown", 1), ("files", ["graph.pb"]), ("files", {"graph.pb": "7"})),
            ],
            2,
        ):
            (folder / "SHA256SUMS").unlink()
            (folder / "backbone.json").write_text(json.dumps({**content, key: value}))
            self.load()
            self.assertEqual(self.prepared, number, key)

    def test_an_earlier_version_can_load_the_folder(self):
        self.load()
        content = json.loads((self.cache / "backbones" / _FOLDER / "backbone.json").read_text())
        self.assertEqual(content.keys(), json.loads(_BACKBONE_JSON).keys())
        self.assertEqual(content["files"], {"graph.pb": 7, "network.keras": 6})
        self.assertEqual(content["made_from"], _DIGEST)

    def test_the_fingerprint_can_differ_from_the_digest_of_the_source(self):
        def prepare(folder: Path) -> BackboneInfo:
            self.prepare(folder)
            return _info("of the graph")

        for _ in range(2):
            self.assertEqual(self.load(prepare=prepare).fingerprint, "of the graph")
        self.assertEqual(self.prepared, 1)

    def test_a_backbone_from_another_source_is_prepared(self):
        self.load()
        # The name of the folder is the same, since it contains only a part of the digest.
        self.load(_DIGEST[:16] + "4567")
        self.assertEqual(self.prepared, 2)

    def test_a_damaged_backbone_is_prepared_again(self):
        def truncate(path: Path) -> None:
            path.write_bytes(b"")

        def write_wrong_json(path: Path) -> None:
            path.with_name("backbone.json").write_text(json.dumps({"files": []}))

        for number, damage in enumerate((truncate, Path.unlink, write_wrong_json), 2):
            damage(self.load().graph_file)
            self.assertEqual(self.load().graph_file.read_bytes(), b"a graph")
            self.assertEqual(self.prepared, number)

    def test_any_wrong_byte_leads_to_a_new_preparation(self):
        folder = self.load().graph_file.parent
        names = [path.name for path in folder.iterdir()]
        self.assertLen(names, 4)
        for number, name in enumerate(names, 2):
            content = (folder / name).read_bytes()
            (folder / name).write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
            with self.assertLogs(level="WARNING") as logged:
                self.assertEqual(self.load().graph_file.read_bytes(), b"a graph")
            self.assertIn(f"{folder} is damaged", logged.output[0])
            self.assertEqual(self.prepared, number)

    def test_one_of_several_threads_prepares_and_the_others_wait(self):
        someone_waits = threading.Event()

        def prepare(folder: Path) -> BackboneInfo:
            self.assertTrue(someone_waits.wait(30))
            return self.prepare(folder)

        handler = logging.Handler()
        handler.emit = lambda record: (
            someone_waits.set() if "waiting" in record.getMessage() else None
        )
        logging.getLogger().addHandler(handler)
        self.addCleanup(logging.getLogger().removeHandler, handler)
        logging.getLogger().setLevel(logging.INFO)
        with ThreadPoolExecutor(4) as pool:
            futures = [pool.submit(self.load, prepare=prepare) for _ in range(4)]
            backbones = {future.result() for future in futures}
        self.assertLen(backbones, 1)
        self.assertEqual(self.prepared, 1)
        self.assertEqual(self.cached(), [_FOLDER])

    def test_an_interrupted_preparation_leaves_nothing_behind(self):
        def prepare(folder: Path) -> BackboneInfo:
            self.prepare(folder)
            raise KeyboardInterrupt

        with self.assertRaises(KeyboardInterrupt):
            self.load(prepare=prepare)
        self.assertEqual(self.cached(), [])
        self.load()
        self.assertEqual(self.prepared, 2)

    def test_a_backbone_without_tflite_file_is_logged(self):
        with self.assertLogs(level="INFO") as logged:
            self.load()
        self.assertIn("Preparing a net/work", logged.output[0])
        self.assertIn("TFLite does not support all operations", logged.output[1])

    def test_a_file_in_place_of_the_folder_is_a_user_error(self):
        self.cache.parent.mkdir()
        self.cache.write_text("mine")
        with self.assertRaisesRegex(UserError, "cannot be written: Not a directory"):
            self.load()
        self.assertEqual(self.cache.read_text(), "mine")

    def test_a_folder_without_write_permission_is_a_user_error(self):
        (self.cache / "backbones").mkdir(parents=True, mode=0o500)
        child = os.fork()
        if not child:
            status = 1
            try:
                privileges.drop()
                self.load()
            except UserError as error:
                status = 0 if "cannot be written: Permission denied" in str(error) else 2
            finally:
                os._exit(status)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), 0)
        self.assertEqual(self.prepared, 0)


if __name__ == "__main__":
    absltest.main()
