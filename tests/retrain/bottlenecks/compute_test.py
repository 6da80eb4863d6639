"""Bottlenecks come from the cache whenever they can, and never stale."""

import dataclasses
import hashlib
import os
import shutil
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks.compute import NO_DISTORTIONS, Bottlenecks, compute_bottlenecks
from retrain.config import DistortionOptions, SplitOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import scan_dataset
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError

_DISTORTIONS = DistortionOptions(random_crop=10, random_brightness=10, flip_left_right=True)


def assert_equal_vectors(first: Bottlenecks, second: Bottlenecks) -> None:
    for name, part in first.parts.items():
        np.testing.assert_array_equal(part.variants, second.part(name).variants)


class BottlenecksTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.backbone = efficientnet_lite0.load()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.images = self.folder / "pictures"
        rng = np.random.default_rng(0)
        for class_id in ("a", "b"):
            (self.images / class_id).mkdir(parents=True)
            for number in range(4):
                image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
                path = self.images / class_id / f"{number}.png"
                image.save(path)
                # States that are younger than two seconds are not remembered.
                os.utime(path, (1, 1))

    def compute(
        self,
        folder: Path | None = None,
        engine: str = "float32",
        strict: bool = False,
        distortions: DistortionOptions = NO_DISTORTIONS,
    ) -> Bottlenecks:
        dataset = scan_dataset(folder or self.images, SplitOptions())
        return compute_bottlenecks(dataset, self.backbone, engine, self.cache, strict, distortions)

    def test_vectors_are_those_of_the_engine_in_the_order_of_the_images(self):
        result = self.compute()
        runner = engines.engine("float32", self.backbone).load()
        seen = []
        for part in result.parts.values():
            for image, vector in zip(part.images, part.vectors, strict=True):
                decoded = pixels.decode(image.path.read_bytes(), 224, 224)
                expected = runner.features(decoded[np.newaxis])[0].astype(np.float16)
                np.testing.assert_array_equal(expected, vector)
                seen.append(image)
        self.assertCountEqual(seen, result.dataset.images)

    def test_a_second_run_computes_nothing_and_gives_the_same_bits(self):
        first, second = self.compute(), self.compute()
        self.assertEqual((first.computed, first.reused), (8, 0))
        self.assertEqual((second.computed, second.reused), (0, 8))
        assert_equal_vectors(first, second)

    def test_copied_and_renamed_images_are_found_again(self):
        self.compute()
        copy = self.folder / "copy"
        shutil.copytree(self.images, copy)
        (copy / "a").rename(copy / "c")
        (copy / "b/0.png").rename(copy / "b/new.png")
        self.assertEqual(self.compute(copy).computed, 0)

    def test_a_changed_image_is_computed_anew(self):
        before = self.compute()
        path = self.images / "a/1.png"
        Image.new("RGB", (50, 40), "red").save(path)
        after = self.compute()
        self.assertEqual(after.computed, 1)
        for name, part in after.parts.items():
            changed = (before.part(name).vectors != part.vectors).any(axis=1)
            self.assertEqual([p.path == path for p in part.images], changed.tolist())

    def test_no_engine_reads_what_another_computed(self):
        first = self.compute(engine="tensorflow")
        second = self.compute(engine="float32")
        self.assertEqual((first.computed, second.computed), (8, 8))
        for name, part in first.parts.items():
            np.testing.assert_allclose(part.vectors, second.part(name).vectors, atol=2e-3)

    def test_an_unreadable_image_is_left_out_and_named(self):
        bad = self.images / "b/2.png"
        bad.write_bytes(b"not an image")
        with self.assertLogs(level="WARNING") as logs:
            result = self.compute()
        self.assertEqual(list(result.unreadable), [bad])
        self.assertEqual((result.computed, result.reused), (7, 0))
        self.assertNotIn(bad, [image.path for image in result.dataset.images])
        self.assertIn(str(bad), "\n".join(logs.output))
        self.assertEqual(self.compute().computed, 0)

    def test_what_is_computed_in_vain_is_not_taken_for_reused(self):
        for class_id in ("a", "b"):
            for number in range(4, 8):
                noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
                Image.fromarray(noise).save(self.images / class_id / f"{number}{class_id}.png")
        dataset = scan_dataset(self.images, SplitOptions())
        lost = [p.path for p in dataset.images if p.class_id == 0 and p.split != TRAINING]
        self.assertNotEmpty(lost)
        for path in lost:
            path.write_bytes(b"not an image")
        options = DistortionOptions(flip_left_right=True, per_image=2)
        with self.assertLogs(level="WARNING"):
            first = self.compute(distortions=options)
        # Other images had to take the places of those that were lost.
        moved = [p for p in first.dataset.images if p.class_id == 0 and p.split != TRAINING]
        self.assertNotEmpty(moved)
        count = sum(part.variants[:, :, 0].size for part in first.parts.values())
        # Beside what is of use, the variants of those that moved.
        self.assertEqual((first.computed, first.reused), (count + 2 * len(moved), 0))
        with self.assertLogs(level="WARNING"):
            second = self.compute(distortions=options)
        self.assertEqual(second.computed, 0)
        self.assertEqual(second.reused, count)

    def test_strict_makes_it_an_error(self):
        (self.images / "b/2.png").write_bytes(b"")
        with self.assertRaisesRegex(
            UserError, "2.png cannot be read: it is an empty file.*--strict"
        ):
            self.compute(strict=True)

    def test_parts_have_their_own_images(self):
        result = self.compute()
        part = result.part(TRAINING)
        self.assertEqual(part.images, result.dataset.split(TRAINING))
        self.assertEqual(part.class_ids.tolist(), [p.class_id for p in part.images])
        self.assertEqual(part.vectors.shape, (len(part.images), 1280))
        some = result.part(TEST).sample(1, seed=3)
        self.assertLen(some.images, 1)
        self.assertEqual(some.images, result.part(TEST).sample(1, seed=3).images)

    def test_training_images_are_distorted_and_no_others(self):
        plain = self.compute()
        some = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=2))
        training = some.part(TRAINING)
        count = len(training.images)
        self.assertEqual(some.computed, 2 * count)
        self.assertEqual(training.variants.shape, (count, 3, 1280))
        np.testing.assert_array_equal(training.vectors, plain.part(TRAINING).vectors)
        first, second = training.variants[:, 1], training.variants[:, 2]
        self.assertTrue((first != training.vectors).any(axis=1).all())
        self.assertTrue((first != second).any(axis=1).all())
        for part in (VALIDATION, TEST):
            np.testing.assert_array_equal(some.part(part).variants, plain.part(part).variants)
        vectors, class_ids = training.examples()
        np.testing.assert_array_equal(vectors[1::3], first)
        self.assertEqual(class_ids.tolist(), np.repeat(training.class_ids, 3).tolist())

    def test_more_variants_compute_only_the_new_ones(self):
        few = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=1))
        more = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=3))
        count = len(more.part(TRAINING).images)
        self.assertEqual(more.computed, 2 * count)
        np.testing.assert_array_equal(
            more.part(TRAINING).variants[:, :2], few.part(TRAINING).variants
        )
        again = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=2))
        self.assertEqual(again.computed, 0)

    def test_other_settings_or_another_seed_are_computed_anew(self):
        self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=1))
        for change in ({"random_crop": 11}, {"flip_left_right": False}, {"seed": 1}):
            other = dataclasses.replace(_DISTORTIONS, per_image=1, **change)
            result = self.compute(distortions=other)
            self.assertEqual(result.computed, len(result.part(TRAINING).images), change)

    def test_the_same_image_under_two_names_is_computed_for_each_part_it_is_in(self):
        shutil.copy(self.images / "a/0.png", self.images / "a/copy.png")
        options = dataclasses.replace(_DISTORTIONS, per_image=1)
        result = self.compute(distortions=options)
        self.assertLen(result.dataset.images, 9)
        self.assertEqual(self.compute(distortions=options).computed, 0)

    def test_equal_images_are_pointed_out_once(self):
        shutil.copy(self.images / "a/0.png", self.images / "b/same.png")
        with self.assertLogs(level="WARNING") as logs:
            result = self.compute()
        self.assertIn("in two classes", "\n".join(logs.output))
        with self.assertNoLogs(level="WARNING"):
            compute_bottlenecks(result.dataset, self.backbone, "float32", self.cache, told=True)

    def test_however_many_variants_the_network_gets_as_many_as_it_takes_at_a_time(self):
        given = []

        class Counting:
            workers = 1
            batch_size = 4

            def features(self, pixels: np.ndarray) -> np.ndarray:
                given.append(len(pixels))
                means = pixels.mean(axis=(1, 2, 3), dtype=np.float32)
                return np.repeat(means[:, np.newaxis], 1280, axis=1)

            def close(self) -> None:
                given.append(-1)

        options = dataclasses.replace(_DISTORTIONS, per_image=21)
        with mock.patch.object(engines, "_LiteRTRunner", lambda *_: Counting()):
            result = self.compute(distortions=options)
        *given, closed = given
        self.assertEqual(closed, -1)
        self.assertLessEqual(max(given), 4)
        training = result.part(TRAINING)
        self.assertEqual(sum(given), 22 * len(training.images) + 8 - len(training.images))
        for image, vectors in zip(training.images, training.variants, strict=True):
            data = image.path.read_bytes()
            digest = hashlib.sha256(data).digest()
            made = distortions.variants(data, digest, range(22), 224, 224, options)
            means = [np.float16(one.mean(dtype=np.float32)) for one in made]
            np.testing.assert_array_equal(vectors[:, 0], means)

    def test_numbers_that_are_too_large_are_told_and_not_stored(self):
        class TooLarge:
            workers = batch_size = 1

            def features(self, pixels: np.ndarray) -> np.ndarray:
                return np.full((len(pixels), 1280), 1e6, np.float32)

            def close(self) -> None: ...

        with (
            mock.patch.object(engines, "_LiteRTRunner", lambda *_: TooLarge()),
            self.assertRaisesRegex(UserError, "^efficientnet_lite0 gives .* not finite") as caught,
        ):
            self.compute()
        self.assertNotIn("\n", str(caught.exception))
        result = self.compute()
        self.assertEqual((result.computed, result.reused), (8, 0))


if __name__ == "__main__":
    absltest.main()
