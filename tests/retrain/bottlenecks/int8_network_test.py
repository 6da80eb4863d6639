"""The int8 network is made once for the images it is measured on, and found again."""

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
from retrain.runtimes.litert import LiteRTModel
from tests.support import tiny_backbone


class Int8NetworkTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = tiny_backbone.write(Path(absltest.get_default_test_tmpdir()))
        # Any network that runs; it tells that a file was read and not made.
        cls.another = cls.backbone.tflite_file.read_bytes()

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.images = self.folder / "pictures"

    def draw(self, count: int, class_ids: tuple[str, ...] = ("a", "b")) -> Dataset:
        """Draws `count` training images of each class, and one for the test."""
        rng = np.random.default_rng(0)
        for part in ("pictures", "tests"):
            for class_id in class_ids:
                (self.folder / part / class_id).mkdir(parents=True)
                for number in range(count if part == "pictures" else 1):
                    scene = Image.fromarray(rng.integers(0, 256, (4, 5, 3), np.uint8))
                    path = self.folder / part / class_id / f"{number}.png"
                    scene.resize((50, 40)).save(path)
        return self.scan()

    def scan(self, folder: Path | None = None) -> Dataset:
        options = SplitOptions(validation_percentage=0, test_dir=self.folder / "tests")
        return scan_dataset(folder or self.images, options)

    def network(self, dataset: Dataset, **changes) -> bytes:
        backbone = dataclasses.replace(self.backbone, **changes)
        return int8_network.for_images(dataset, backbone, self.cache)

    def kept(self) -> list[Path]:
        return sorted(self.cache.glob("*.tflite"))

    def repaint(self, count: int) -> None:
        """Makes `count` training images other ones."""
        for number, image in enumerate(self.scan().split(TRAINING)[:count]):
            Image.new("RGB", (50, 40), (number, 0, 0)).save(image.path)

    def plant(self) -> None:
        """Puts another network where the one that was made is."""
        (path,) = self.kept()
        path.write_bytes(self.another)

    def test_is_of_int8_and_kept_beside_what_it_was_measured_on(self):
        made = self.network(self.draw(10))
        self.assertEqual(LiteRTModel(made).input.dtype, np.int8)
        (path,) = self.kept()
        self.assertRegex(path.name, "^tiny_int8_[0-9a-f]{16}.tflite$")
        self.assertEqual(path.read_bytes(), made)
        self.assertCountEqual(self.cache.iterdir(), [path, path.with_suffix(".json")])
        content = json.loads(path.with_suffix(".json").read_text())
        digests = [hashlib.sha256(p.read_bytes()).hexdigest() for p in self.images.glob("*/*")]
        self.assertCountEqual(content["pictures"], digests)

    def test_is_found_again(self):
        dataset = self.draw(10)
        self.network(dataset)
        self.plant()
        self.assertEqual(self.network(self.scan()), self.another)

    def test_is_found_again_for_images_in_another_place_or_order(self):
        # More than are drawn, some of them with equal names.
        dataset = self.draw(60)
        (self.images / "a/inside").mkdir()
        for path in sorted((self.images / "b").iterdir())[:40]:
            shutil.move(path, self.images / "a/inside" / path.name)
        dataset = self.scan()
        self.assertLen(dataset.split(TRAINING), 120)
        self.network(dataset)
        self.plant()
        backwards = dataclasses.replace(dataset, images=dataset.images[::-1])
        self.assertEqual(self.network(backwards), self.another)
        self.images.rename(self.folder / "moved")
        self.assertEqual(self.network(self.scan(self.folder / "moved")), self.another)
        self.assertLen(self.kept(), 1)

    def test_names_need_not_be_text(self):
        dataset = self.draw(10)
        path = dataset.split(TRAINING)[0].path
        path.rename(path.with_name(os.fsdecode(b"\xff.png")))
        self.network(self.scan())
        self.assertLen(self.kept(), 1)

    def test_is_kept_while_half_of_its_images_are_still_learned_from(self):
        self.network(self.draw(10))
        self.plant()
        self.repaint(10)
        self.assertEqual(self.network(self.scan()), self.another)
        self.repaint(11)
        self.assertNotEqual(self.network(self.scan()), self.another)
        self.assertLen(self.kept(), 2)

    def test_is_kept_when_images_are_added(self):
        dataset = self.draw(60)
        self.network(dataset)
        self.plant()
        for number in range(3):
            Image.new("RGB", (50, 40), (0, number, 0)).save(self.images / f"a/new{number}.png")
        self.assertEqual(self.network(self.scan()), self.another)
        self.assertLen(self.kept(), 1)

    def test_the_one_with_the_most_images_in_common_is_taken(self):
        first = self.network(self.draw(10))
        shutil.copytree(self.images, self.folder / "first")
        self.repaint(20)
        second = self.network(self.scan())
        for class_id in ("a", "b"):
            (self.images / class_id / "9.png").unlink()
            shutil.copytree(self.folder / "first" / class_id, self.images / class_id / "first")
        self.assertEqual(self.network(self.scan()), first)
        for path in sorted(self.images.glob("*/first/*.png"))[:10]:
            path.unlink()
        self.assertEqual(self.network(self.scan()), second)
        self.assertLen(self.kept(), 2)

    def test_those_of_other_data_sets_stay(self):
        here = self.network(self.draw(10))
        self.repaint(20)
        there = self.network(self.scan())
        self.assertCountEqual([path.read_bytes() for path in self.kept()], [here, there])

    def test_test_images_have_no_part_in_it(self):
        dataset = self.draw(10)
        self.network(dataset)
        before = {path: path.read_bytes() for path in self.cache.iterdir()}
        for image in dataset.split(TEST):
            Image.new("RGB", (50, 40), "red").save(image.path)
        self.network(self.scan())
        self.assertEqual({path: path.read_bytes() for path in self.cache.iterdir()}, before)

    def test_a_list_that_is_damaged_or_of_nothing_is_of_no_use(self):
        dataset = self.draw(10)
        made = self.network(dataset)
        (path,) = self.kept()
        for damaged in ("", "[]", "{}", '{"images": 3}', "\0"):
            self.plant()
            path.with_suffix(".json").write_text(damaged)
            self.assertEqual(self.network(dataset), made)

    def test_a_list_without_a_network_is_of_no_use(self):
        dataset = self.draw(10)
        made = self.network(dataset)
        (path,) = self.kept()
        path.unlink()
        self.assertEqual(self.network(dataset), made)

    def test_is_made_anew_for_another_backbone(self):
        dataset = self.draw(10)
        self.network(dataset)
        self.network(dataset, fingerprint="of another")
        self.assertLen(self.kept(), 2)

    def test_channels_are_in_the_order_that_the_backbone_wants(self):
        made = self.network(self.draw(10))
        for path in self.images.glob("*/*.png"):
            with Image.open(path) as image:
                swapped = np.asarray(image)[..., ::-1]
            Image.fromarray(swapped).save(path)
        self.assertNotEqual(self.network(self.scan()), made)
        self.assertEqual(self.network(self.scan(), channel_order="BGR", fingerprint="bgr"), made)

    def test_a_damaged_file_is_made_anew_with_a_warning(self):
        dataset = self.draw(10)
        made = self.network(dataset)
        (path,) = self.kept()
        for damaged in (b"", b"no network", made[: len(made) // 2]):
            path.write_bytes(damaged)
            with self.assertLogs(level="WARNING") as logs:
                self.assertEqual(self.network(dataset), made)
            self.assertIn(f"{path} is damaged", "\n".join(logs.output))
            self.assertEqual(path.read_bytes(), made)

    def test_too_few_images_that_can_be_read_are_told_with_what_to_do(self):
        dataset = self.draw(11)
        first, second, third, *_ = (image.path for image in dataset.split(TRAINING))
        first.write_bytes(b"no image")
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

    def test_a_network_that_cannot_be_quantised_is_told_with_what_runs_it(self):
        file = self.folder / "network.tflite"
        file.write_bytes(self.another.replace(b"serving_default", b"without_a_name!"))
        with self.assertRaises(UserError) as caught:
            self.network(self.draw(10), tflite_file=file)
        message = str(caught.exception)
        self.assertNotIn("\n", message)
        self.assertStartsWith(message, "int8 is not possible with --architecture=tiny (")
        self.assertEndsWith(message, "choose another --engine and another --tflite_quantization")
        self.assertFalse(self.cache.exists())

    def test_a_folder_that_cannot_be_used_is_told(self):
        dataset = self.draw(10)
        self.cache.write_bytes(b"a file where the folder should be")
        with self.assertRaisesRegex(UserError, f"{self.cache}/.* cannot be written: "):
            self.network(dataset)
        self.cache.unlink()
        self.network(dataset)
        (path,) = self.kept()
        path.unlink()
        path.mkdir()
        with self.assertRaisesRegex(UserError, f"{path} cannot be read: "):
            self.network(dataset)


if __name__ == "__main__":
    absltest.main()
