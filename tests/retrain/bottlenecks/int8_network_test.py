"""Tests that the int8 network is quantised once for similar images, and then reused."""

import dataclasses
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.bottlenecks import int8_network
from retrain.config import SplitOptions
from retrain.data.dataset import Dataset, scan_dataset
from retrain.data.splits import TEST, TRAINING
from retrain.errors import UserError
from retrain.metadata import CROP
from retrain.runtimes.litert import LiteRTModel
from tests.support import tiny_backbone


class Int8NetworkTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = tiny_backbone.create(Path(absltest.get_default_test_tmpdir()))
        # A network that runs. If it is returned, a file was read.
        cls.another = cls.backbone.tflite_file.read_bytes()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.images = self.folder / "images"

    def create_images(self, count: int) -> Dataset:
        """Creates `count` training images and one test image of each class."""
        rng = np.random.default_rng(0)
        for root, images_per_class in ((self.images, count), (self.folder / "tests", 1)):
            for class_name in ("a", "b"):
                (root / class_name).mkdir(parents=True)
                for number in range(images_per_class):
                    scene = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
                    path = root / class_name / f"{number}.png"
                    scene.resize((50, 40)).save(path)
        return self.scan()

    def scan(self, folder: Path | None = None) -> Dataset:
        options = SplitOptions(validation_percentage=0, test_dir=self.folder / "tests")
        return scan_dataset(folder or self.images, options)

    def network(self, dataset: Dataset, **changes) -> bytes:
        backbone = dataclasses.replace(self.backbone, **changes)
        return int8_network.load_or_quantise(dataset, backbone, self.cache)

    def network_files(self) -> list[Path]:
        return sorted(self.cache.glob("*.tflite"))

    def repaint(self, count: int) -> None:
        """Replaces `count` training images by others."""
        for number, image in enumerate(self.scan().split(TRAINING)[:count]):
            Image.new("RGB", (50, 40), (number, 0, 0)).save(image.path)

    def replace_file(self) -> None:
        """Replaces the network in the cache by another one."""
        (path,) = self.network_files()
        path.write_bytes(self.another)
        self.change_description(sha256=hashlib.sha256(self.another).hexdigest())

    def change_description(self, **changes: str | None) -> None:
        """Changes values in the description of the network, or removes those that become None."""
        (path,) = self.cache.glob("*.json")
        content = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({key: value for key, value in content.items() if value}))

    def test_a_wrong_byte_leads_to_a_new_network(self):
        network = self.network(self.create_images(10))
        (path,) = self.network_files()
        place = len(network) - 100
        path.write_bytes(network[:place] + bytes([network[place] ^ 1]) + network[place + 1 :])
        with self.assertLogs(level="WARNING") as logged:
            self.assertEqual(self.network(self.scan()), network)
        self.assertIn(f"{path} is damaged", "\n".join(logged.output))
        self.assertEqual(path.read_bytes(), network)

    def test_a_network_of_an_earlier_version_is_loaded(self):
        self.network(self.create_images(10))
        self.replace_file()
        self.change_description(sha256=None)
        self.assertEqual(self.network(self.scan()), self.another)

    def test_is_int8_and_stored_with_a_list_of_its_images(self):
        network = self.network(self.create_images(10))
        self.assertEqual(LiteRTModel(network).input.dtype, np.int8)
        (path,) = self.network_files()
        self.assertRegex(path.name, "^tiny_int8_[0-9a-f]{16}.tflite$")
        self.assertEqual(path.read_bytes(), network)
        self.assertCountEqual(self.cache.iterdir(), [path, path.with_suffix(".json")])
        content = json.loads(path.with_suffix(".json").read_text())
        digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in self.images.glob("*/*")]
        self.assertCountEqual(content["pictures"], digests)

    def test_images_of_another_fit_lead_to_a_new_network(self):
        dataset = self.create_images(10)
        stretched = self.network(dataset)
        cropped = self.network(dataset, fit=CROP)
        self.assertNotEqual(cropped, stretched)
        self.assertLen(self.network_files(), 2)
        self.assertEqual(self.network(dataset), stretched)
        self.assertEqual(self.network(dataset, fit=CROP), cropped)
        self.assertLen(self.network_files(), 2)

    def test_is_loaded_in_a_second_run(self):
        dataset = self.create_images(10)
        self.network(dataset)
        self.replace_file()
        self.assertEqual(self.network(self.scan()), self.another)

    def test_is_loaded_for_moved_or_reordered_images(self):
        # More images than a sample has, and some with the same names.
        dataset = self.create_images(60)
        (self.images / "a/inside").mkdir()
        for path in sorted((self.images / "b").iterdir())[:40]:
            shutil.move(path, self.images / "a/inside" / path.name)
        dataset = self.scan()
        self.assertLen(dataset.split(TRAINING), 120)
        self.network(dataset)
        self.replace_file()
        backwards = dataclasses.replace(dataset, images=dataset.images[::-1])
        self.assertEqual(self.network(backwards), self.another)
        self.images.rename(self.folder / "moved")
        self.assertEqual(self.network(self.scan(self.folder / "moved")), self.another)
        self.assertLen(self.network_files(), 1)

    def test_file_names_can_be_invalid_text(self):
        dataset = self.create_images(10)
        path = dataset.split(TRAINING)[0].path
        path.rename(path.with_name(os.fsdecode(b"\xff.png")))
        self.network(self.scan())
        self.assertLen(self.network_files(), 1)

    def test_is_loaded_while_half_of_its_images_are_in_the_sample(self):
        self.network(self.create_images(10))
        self.replace_file()
        self.repaint(10)
        self.assertEqual(self.network(self.scan()), self.another)
        self.repaint(11)
        self.assertNotEqual(self.network(self.scan()), self.another)
        self.assertLen(self.network_files(), 2)

    def test_is_loaded_when_images_are_added(self):
        dataset = self.create_images(60)
        self.network(dataset)
        self.replace_file()
        for number in range(3):
            Image.new("RGB", (50, 40), (0, number, 0)).save(self.images / f"a/new{number}.png")
        self.assertEqual(self.network(self.scan()), self.another)
        self.assertLen(self.network_files(), 1)

    def test_loads_the_network_with_the_most_common_images(self):
        first = self.network(self.create_images(10))
        shutil.copytree(self.images, self.folder / "first")
        self.repaint(20)
        second = self.network(self.scan())
        for class_name in ("a", "b"):
            (self.images / class_name / "9.png").unlink()
            shutil.copytree(self.folder / "first" / class_name, self.images / class_name / "first")
        self.assertEqual(self.network(self.scan()), first)
        for path in sorted(self.images.glob("*/first/*.png"))[:10]:
            path.unlink()
        self.assertEqual(self.network(self.scan()), second)
        self.assertLen(self.network_files(), 2)

    def test_networks_of_other_data_sets_are_kept(self):
        here = self.network(self.create_images(10))
        self.repaint(20)
        there = self.network(self.scan())
        self.assertCountEqual([path.read_bytes() for path in self.network_files()], [here, there])

    def test_does_not_depend_on_test_images(self):
        dataset = self.create_images(10)
        self.network(dataset)
        before = {path: path.read_bytes() for path in self.cache.iterdir()}
        for image in dataset.split(TEST):
            Image.new("RGB", (50, 40), "red").save(image.path)
        self.network(self.scan())
        self.assertEqual({path: path.read_bytes() for path in self.cache.iterdir()}, before)

    def test_a_damaged_or_empty_list_is_ignored(self):
        dataset = self.create_images(10)
        made = self.network(dataset)
        (path,) = self.network_files()
        for damaged in ("", "[]", "{}", '{"pictures": 3}', "\0"):
            self.replace_file()
            path.with_suffix(".json").write_text(damaged)
            self.assertEqual(self.network(dataset), made)

    def test_a_list_without_a_network_is_ignored(self):
        dataset = self.create_images(10)
        made = self.network(dataset)
        (path,) = self.network_files()
        path.unlink()
        self.assertEqual(self.network(dataset), made)

    def test_another_backbone_has_another_network(self):
        dataset = self.create_images(10)
        self.network(dataset)
        self.network(dataset, fingerprint="of another")
        self.assertLen(self.network_files(), 2)

    def test_other_stages_have_another_network(self):
        dataset = self.create_images(10)
        self.network(dataset)
        made = self.network(dataset, stage_widths=(1,))
        self.assertLen(self.network_files(), 2)
        # Without its stages, a backbone uses the network with all of them, which is exported.
        backbone = dataclasses.replace(self.backbone, stage_widths=(1,)).without_stages()
        self.assertEqual(int8_network.load_or_quantise(dataset, backbone, self.cache), made)
        self.assertLen(self.network_files(), 2)

    def test_channels_are_in_the_order_of_the_backbone(self):
        made = self.network(self.create_images(10))
        for path in self.images.glob("*/*.png"):
            with Image.open(path) as image:
                swapped = np.asarray(image)[..., ::-1]
            Image.fromarray(swapped).save(path)
        self.assertNotEqual(self.network(self.scan()), made)
        self.assertEqual(self.network(self.scan(), channel_order="BGR", fingerprint="bgr"), made)

    def test_a_damaged_file_is_replaced_with_a_warning(self):
        dataset = self.create_images(10)
        made = self.network(dataset)
        (path,) = self.network_files()
        for damaged in (b"", b"not a network", made[: len(made) // 2]):
            path.write_bytes(damaged)
            with self.assertLogs(level="WARNING") as logs:
                self.assertEqual(self.network(dataset), made)
            self.assertIn(f"{path} is damaged", "\n".join(logs.output))
            self.assertEqual(path.read_bytes(), made)

    def test_refuses_too_few_readable_images(self):
        dataset = self.create_images(11)
        first, second, third, *_ = (image.path for image in dataset.split(TRAINING))
        first.write_bytes(b"not an image")
        second.unlink()
        with self.assertLogs(level="INFO") as logs:
            self.network(dataset)
        self.assertIn("measured on 20 images", "\n".join(logs.output))
        third.write_bytes(b"")
        shutil.rmtree(self.cache)
        with self.assertRaises(UserError) as caught:
            self.network(dataset)
        self.assertRegex(
            str(caught.exception), "^int8 needs 20 .* there are 19; .* --tflite_quantization$"
        )

    def test_refuses_a_network_that_cannot_be_quantised(self):
        file = self.folder / "network.tflite"
        file.write_bytes(self.another.replace(b"serving_default", b"without_a_name!"))
        with self.assertRaises(UserError) as caught:
            self.network(self.create_images(10), tflite_file=file)
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        self.assertStartsWith(message, "--architecture=tiny cannot be quantised to int8 (")
        self.assertEndsWith(message, "choose another --engine and another --tflite_quantization")
        self.assertFalse(self.cache.exists())

    def test_refuses_a_folder_that_cannot_be_used(self):
        dataset = self.create_images(10)
        self.cache.write_bytes(b"a file where the folder should be")
        with self.assertRaisesRegex(UserError, f"{self.cache}/.* cannot be written: "):
            self.network(dataset)
        self.cache.unlink()
        self.network(dataset)
        (path,) = self.network_files()
        path.unlink()
        path.mkdir()
        with self.assertRaisesRegex(UserError, f"{path} cannot be read: "):
            self.network(dataset)


if __name__ == "__main__":
    absltest.main()
