"""Modules of TensorFlow Hub become backbones, or one line says why not."""

import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import engines, hub_download, registry
from retrain.config import BackboneOptions
from retrain.errors import UserError
from tests.support import tiny_modules
from tests.support.file_server import serving

_SIDE = 32
_LOADED_AGAIN = """
import sys
from pathlib import Path
from retrain.backbones import registry
from retrain.config import BackboneOptions

registry.resolve(BackboneOptions(tfhub_module=sys.argv[1]), Path(sys.argv[2]))
print([name for name in ("tensorflow", "keras") if name in sys.modules])
"""


class HubModuleTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.modules = Path(tempfile.mkdtemp())
        cls.any_size = tiny_modules.write(cls.modules / "any_size")
        cls.fixed = tiny_modules.write(cls.modules / "fixed", (_SIDE, _SIDE))
        cls.packed = tiny_modules.archive(cls.fixed, cls.modules / "packed.tar.gz")

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", TFHUB_CACHE_DIR=""))

    def load(self, handle, **options):
        return registry.resolve(
            BackboneOptions(tfhub_module=str(handle), **options), self.folder / "cache"
        )

    def check(self, backbone, height=_SIDE, width=_SIDE, mean=0.0, std=255.0):
        import tensorflow as tf

        self.assertEqual((backbone.height, backbone.width), (height, width))
        self.assertEqual(backbone.feature_width, tiny_modules.WIDTH)
        images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)
        pixels = tf.constant((images.astype(np.float32) - mean) / std)
        expected = tiny_modules.features(pixels, tiny_modules.weights()).numpy()
        for engine in (engines.FLOAT32, engines.TENSORFLOW):
            found = engines.engine(engine, backbone).load().features(images)
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=engine)

    def test_a_module_of_one_size_needs_no_flags(self):
        backbone = self.load(self.fixed)
        self.check(backbone)
        self.assertEqual(backbone.name, "fixed")
        self.assertIsNone(backbone.keras_file)

    def test_a_module_for_any_size_is_told_which(self):
        self.check(self.load(self.any_size, input_height=24, input_width=40), 24, 40)

    def test_a_module_for_any_size_may_have_the_best_one_in_its_name(self):
        named = self.modules / "mobilenet_v2_100_96" / "feature_vector"
        named.parent.mkdir(exist_ok=True)
        if not named.exists():
            named.symlink_to(self.any_size)
        with self.assertLogs(level="INFO") as logged:
            self.check(self.load(named), 96, 96)
        self.assertIn("brought to 96 x 96 pixels; --input_height", "".join(logged.output))
        self.check(self.load(named, input_height=24), 24, 96)
        other = self.modules / "mobilenet_v2_100_128" / "feature_vector"
        other.parent.mkdir(exist_ok=True)
        if not other.exists():
            other.symlink_to(self.any_size)
        self.check(self.load(other), 128, 128)

    @parameterized.parameters(
        ("https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/4", 224),
        ("google/mobilenet-v2/tensorFlow2/100-160-feature-vector/2", 160),
        ("/modules/mobilenet_v1_100_192.tar.gz", 192),
        ("https://host/m_224/1.tar.gz?Expires=300", 224),
        ("/pictures/300/my_module", None),
        ("/pictures_300/my_module/2", None),
        ("https://host/224/efficientnet/b0/feature-vector/1?a=/m_224", None),
    )
    def test_only_the_name_of_a_module_has_its_size(self, handle, size):
        self.assertEqual(hub_download.size_in_name(handle), size)

    def test_flags_say_how_pixels_are_normalised(self):
        options = {"input_mean": (127.5,) * 3, "input_std": (127.5,) * 3}
        self.check(self.load(self.fixed, **options), mean=127.5, std=127.5)
        self.assertNotEqual(
            self.load(self.fixed).fingerprint, self.load(self.fixed, **options).fingerprint
        )

    def test_a_module_that_can_be_trained_is_not(self):
        self.check(self.load(tiny_modules.write_trainable(self.folder / "m", _SIDE)))

    def test_a_keras_model_as_it_is_exported(self):
        self.check(self.load(tiny_modules.write_keras(self.folder / "m", _SIDE)))

    def test_an_archive(self):
        backbone = self.load(self.packed)
        self.check(backbone)
        self.assertEqual(backbone, self.load(self.packed))

    def test_a_module_inside_a_folder_of_an_archive(self):
        path = self.folder / "deep.tgz"
        with tarfile.open(path, "w:gz") as file:
            file.add(self.fixed, "module")
        self.check(self.load(path))

    def test_an_address_is_asked_once_for_the_archive(self):
        path = "/google/imagenet/mobilenet_v2_100_224/feature_vector/4"
        answers = {f"{path}?tf-hub-format=compressed": self.packed.read_bytes()}
        with serving(answers) as server:
            first, second = self.load(server.url + path), self.load(server.url + path)
            self.assertEqual(server.asked, [(f"{path}?tf-hub-format=compressed", None)])
        self.check(first)
        self.assertEqual(first, second)
        self.assertEqual(first.name, "mobilenet_v2_100_224_feature_vector_4")

    def test_an_address_may_be_signed_and_of_any_alphabet(self):
        signature = f"X-Goog-Signature={'0123456789' * 50}"
        path = "/modèle/1/m.tar.gz"
        answers = {f"/mod%C3%A8le/1/m.tar.gz?{signature}": self.packed.read_bytes()}
        with serving(answers) as server:
            backbone = self.load(f"{server.url}{path}?{signature}")
        self.check(backbone)
        self.assertEqual(backbone.name, "modèle_1_m")

    def test_what_the_library_of_hub_has_downloaded_is_taken(self):
        handle = "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/4"
        with mock.patch.dict("os.environ", TFHUB_CACHE_DIR=str(self.folder / "hub")):
            kept = self.folder / "hub" / hashlib.sha1(handle.encode()).hexdigest()
            kept.parent.mkdir()
            kept.symlink_to(self.fixed)
            self.check(self.load(handle))

    def test_a_kept_one_is_found_without_tensorflow(self):
        self.load(self.fixed)
        found = subprocess.run(
            [sys.executable, "-c", _LOADED_AGAIN, self.fixed, self.folder / "cache"],
            capture_output=True,
            text=True,
        )
        self.assertEqual(found.stdout, "[]\n", found.stderr)

    def test_another_content_is_another_backbone(self):
        copy = tiny_modules.write(self.folder / "copy", (_SIDE, _SIDE))
        first = self.load(copy).fingerprint
        (copy / "assets" / "note.txt").write_text("changed")
        self.assertNotEqual(self.load(copy).fingerprint, first)

    def test_kaggles_handles_stand_for_addresses(self):
        handle = "google/mobilenet-v2/tensorFlow2/100-224-feature-vector"
        address = f"https://www.kaggle.com/api/v1/models/{handle}/2/download"
        for given in (
            f"{handle}/2",
            f"https://www.kaggle.com/models/{handle}/2",
            f"https://www.kaggle.com/models/{handle.replace('Flow2/', 'Flow2/variations/')}/2",
        ):
            self.assertEqual(hub_download.address(given), address)
        with self.assertRaisesRegex(UserError, "needs a version at its end"):
            self.load(handle)


class BadModuleTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.dict("os.environ", TFHUB_CACHE_DIR=""))

    def refused(self, reason, handle, **options):
        with self.assertRaisesRegex(UserError, reason) as caught:
            registry.resolve(
                BackboneOptions(tfhub_module=str(handle), **options), self.folder / "cache"
            )
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        self.assertIn(f"--tfhub_module={handle}", message)
        self.assertEmpty(list(self.folder.glob("cache/backbones/*")))

    def test_a_format_of_tensorflow_1(self):
        module = tiny_modules.write_tensorflow_1(self.folder / "one")
        self.refused("format of TensorFlow 1", module)
        (self.folder / "hub").mkdir()
        (self.folder / "hub" / "tfhub_module.pb").write_bytes(b"")
        self.refused("format of TensorFlow 1", self.folder / "hub")

    def test_what_is_not_a_feature_vector(self):
        size = (_SIDE, _SIDE)
        maps = tiny_modules.write(self.folder / "maps", size, vector=False)
        self.refused(r"not give one vector for each image, but the shape \(2, 16, 16", maps)
        several = tiny_modules.write(self.folder / "several", size, several=True)
        self.refused("not give one vector for each image, but several tensors", several)

    def test_features_that_are_no_numbers(self):
        module = tiny_modules.write(self.folder / "damaged", (_SIDE, _SIDE), damaged=True)
        self.refused("gives features that are not finite numbers", module)

    def test_a_size_in_the_name_of_another_folder_is_nobodys(self):
        self.refused("--input_height", tiny_modules.write(self.folder / "300" / "my_module"))

    def test_a_module_that_does_not_take_images(self):
        import tensorflow as tf

        class Module(tf.Module):
            @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
            def __call__(self, texts):
                return tf.strings.length(texts)

        tf.saved_model.save(Module(), str(self.folder / "text"))
        size = {"input_height": 32, "input_width": 32}
        self.refused("does not take images of 32 x 32", self.folder / "text", **size)

    def test_a_module_without_anything_to_call(self):
        import tensorflow as tf

        tf.saved_model.save(tf.Module(), str(self.folder / "empty"))
        self.refused("cannot be called with images", self.folder / "empty")

    def test_a_size_that_nobody_says(self):
        self.refused("--input_height", tiny_modules.write(self.folder / "any"))

    def test_a_size_that_it_does_not_take(self):
        module = tiny_modules.write(self.folder / "fixed", (_SIDE, _SIDE))
        self.refused("not take images of 48 x 32", module, input_height=48)

    def test_an_address_that_does_not_resolve(self):
        with serving({}) as server:
            self.refused("404 Not Found.*tf-hub-format=compressed", f"{server.url}/module/1")
        self.refused("Connection refused", "http://127.0.0.1:1/module/1")

    def test_an_address_of_a_page(self):
        with serving({"/m/1?tf-hub-format=compressed": b"<html>Sign in</html>"}) as server:
            self.refused("not an archive that can be unpacked", f"{server.url}/m/1")
            self.refused("not an archive that can be unpacked", f"{server.url}/m/1")
            self.assertLen(server.asked, 2)

    def test_what_is_neither_there_nor_an_address(self):
        for handle in ("/no/folder", "google/imagenet", "ftp://host/module", "http://[bad/1"):
            self.refused("neither a folder nor", handle)
        for handle in ("http://host:port/1", "http://é..fr/1"):
            self.refused("cannot be downloaded", handle)

    def test_other_files_and_folders(self):
        (self.folder / "text.txt").write_text("text")
        self.refused("not an archive", self.folder / "text.txt")
        (self.folder / "pictures").mkdir()
        self.refused("has no saved_model.pb", self.folder / "pictures")
        (self.folder / "pictures" / "saved_model.pb").write_text("text")
        self.refused("cannot be loaded", self.folder / "pictures")

    def test_an_archive_that_writes_elsewhere(self):
        path = self.folder / "evil.tar.gz"
        with tarfile.open(path, "w:gz") as file:
            member = tarfile.TarInfo("../../evil.txt")
            member.size = 4
            file.addfile(member, io.BytesIO(b"evil"))
        self.refused("not an archive", path)
        self.assertEmpty(list(self.folder.rglob("evil.txt")))

    def test_two_networks(self):
        self.refused("so is --architecture=vgg16; leave one out", "/m", architecture="vgg16")
        self.refused("so is --model_dir; leave one out", "/m", model_dir=Path("/g"))


if __name__ == "__main__":
    absltest.main()
