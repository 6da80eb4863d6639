"""Tests that bottlenecks come from the cache if possible, and are never stale."""

import contextlib
import dataclasses
import hashlib
import os
import shutil
import sqlite3
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.bottlenecks import traits_cache
from retrain.bottlenecks.compute import GroupImages, compute_bottlenecks
from retrain.bottlenecks.features import Bottlenecks
from retrain.bottlenecks.store import FILE_NAME
from retrain.bottlenecks.traits_cache import get_traits
from retrain.config import SplitOptions
from retrain.data import distortions, pixels
from retrain.data.dataset import scan_dataset
from retrain.data.groups import group_images
from retrain.data.splits import TEST, TRAINING, VALIDATION
from retrain.errors import UserError
from retrain.metadata import FITS
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.training_options import NO_DISTORTIONS, DistortionOptions

_DISTORTIONS = DistortionOptions(random_crop=10, random_brightness=10, flip_left_right=True)


def assert_equal_vectors(first: Bottlenecks, second: Bottlenecks) -> None:
    for name, features in first.splits.items():
        np.testing.assert_array_equal(features.variants, second.split(name).variants)


class BottlenecksTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.backbone = efficientnet_lite0.load()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.images = self.folder / "images"
        rng = np.random.default_rng(0)
        for folder in ("a", "b"):
            (self.images / folder).mkdir(parents=True)
            for number in range(4):
                image = Image.fromarray(rng.integers(0, 256, (40, 50, 3), np.uint8))
                path = self.images / folder / f"{number}.png"
                image.save(path)
                # The cache does not recognise files that changed in the last two seconds.
                os.utime(path, (1, 1))

    def compute(
        self,
        folder: Path | None = None,
        *,
        engine: str = "float32",
        strict: bool = False,
        distortions: DistortionOptions = NO_DISTORTIONS,
        group: GroupImages | None = None,
    ) -> Bottlenecks:
        dataset = scan_dataset(folder or self.images, SplitOptions())
        return compute_bottlenecks(
            dataset,
            self.backbone,
            engine,
            self.cache,
            strict=strict,
            distortions=distortions,
            group=group,
        )

    def test_vectors_are_those_of_the_engine_in_the_order_of_the_images(self):
        result = self.compute()
        network = engines.create("float32", self.backbone).load()
        images = []
        for features in result.splits.values():
            for image, vector in zip(features.images, features.vectors, strict=True):
                decoded = pixels.decode(image.path.read_bytes(), 224, 224)
                expected = network.run(decoded[np.newaxis])[0].astype(np.float16)
                np.testing.assert_array_equal(expected, vector)
                images.append(image)
        self.assertCountEqual(images, result.dataset.images)

    def test_a_second_run_computes_nothing_and_returns_the_same_bits(self):
        first, second = self.compute(), self.compute()
        self.assertEqual((first.computed_count, first.reused_count), (8, 0))
        self.assertEqual((second.computed_count, second.reused_count), (0, 8))
        assert_equal_vectors(first, second)

    def test_damaged_vectors_are_computed_again_and_counted(self):
        first = self.compute()
        with contextlib.closing(sqlite3.connect(self.cache / FILE_NAME)) as raw:
            raw.execute(
                # Bottlenecks are longer than the traits of images, which are in the same table.
                "UPDATE bottlenecks SET vector = randomblob(length(vector)) WHERE rowid IN"
                " (SELECT rowid FROM bottlenecks ORDER BY length(vector) DESC, rowid LIMIT 3)"
            )
            raw.commit()
        with self.assertLogs(level="WARNING") as logged:
            second = self.compute()
        self.assertEqual((second.computed_count, second.reused_count), (3, 5))
        assert_equal_vectors(first, second)
        (line,) = [line for line in logged.output if "Damaged" in line]
        self.assertIn(f"Damaged bottlenecks in {self.cache}: 3. They have been computed", line)

    def test_images_are_grouped_before_their_variants_are_computed(self):
        distortions = DistortionOptions(random_brightness=10, per_image=2)
        calls = []

        def group(dataset, digests, store):
            paths = {digests[image.path]: image.path for image in dataset.images}
            calls.append(get_traits(store, paths))
            # The first images of both classes, and the second ones.
            return group_images(dataset, [[0, 4], [1, 5]], group_by="near_duplicates")

        with mock.patch.object(traits_cache, "_measure", side_effect=AssertionError):
            first = self.compute(distortions=distortions, group=group)
        grouped = first.dataset
        self.assertEqual(grouped.images[0].split, grouped.images[4].split)
        self.assertEqual(grouped.images[1].split, grouped.images[5].split)
        for split, features in first.splits.items():
            self.assertEqual(features.images, grouped.split(split))
        # Each image once, and two variants of each image that stays in the training split.
        training_count = len(grouped.split(TRAINING))
        self.assertEqual(first.computed_count, 8 + 2 * training_count)
        self.assertEqual(first.reused_count, 0)
        self.assertGreater(calls[0]["thumbnail"].std(), 5)
        second = self.compute(distortions=distortions, group=group)
        self.assertEqual((second.computed_count, len(calls)), (0, 2))
        assert_equal_vectors(first, second)

    def test_unreadable_images_are_in_no_group(self):
        (self.images / "a/0.png").write_bytes(b"nothing")
        counts = []

        def group(dataset, digests, store):
            counts.append((len(dataset.images), len(digests)))
            return group_images(dataset, [[0, 3]], group_by="near_duplicates")

        result = self.compute(group=group)
        self.assertEqual(counts, [(7, 7)])
        self.assertLen(result.unreadable, 1)
        self.assertIsNotNone(result.dataset.grouping)
        self.assertEqual(result.dataset.images[0].split, result.dataset.images[3].split)

    def test_copied_and_renamed_images_are_found_again(self):
        self.compute()
        copy = self.folder / "copy"
        shutil.copytree(self.images, copy)
        (copy / "a").rename(copy / "c")
        (copy / "b/0.png").rename(copy / "b/new.png")
        self.assertEqual(self.compute(copy).computed_count, 0)

    def test_a_changed_image_is_computed_again(self):
        before = self.compute()
        path = self.images / "a/1.png"
        Image.new("RGB", (50, 40), "red").save(path)
        after = self.compute()
        self.assertEqual(after.computed_count, 1)
        for name, features in after.splits.items():
            changed = (before.split(name).vectors != features.vectors).any(axis=1)
            self.assertEqual([image.path == path for image in features.images], changed.tolist())

    def test_no_engine_reads_what_another_computed(self):
        first = self.compute(engine="tensorflow")
        second = self.compute(engine="float32")
        self.assertEqual((first.computed_count, second.computed_count), (8, 8))
        for name, features in first.splits.items():
            np.testing.assert_allclose(features.vectors, second.split(name).vectors, atol=2e-3)

    def test_features_with_and_without_stages_are_kept_side_by_side(self):
        complete = self.compute()
        self.backbone = self.backbone.without_stages()
        bottlenecks = self.compute()
        self.assertEqual(bottlenecks.computed_count, 8)
        self.assertEqual(self.compute().computed_count, 0)
        for name, features in bottlenecks.splits.items():
            self.assertEqual(features.vectors.shape[1], 1280)
            np.testing.assert_array_equal(features.vectors, complete.split(name).vectors[:, :1280])
        self.backbone = efficientnet_lite0.load()
        again = self.compute()
        self.assertEqual(again.computed_count, 0)
        assert_equal_vectors(again, complete)

    def test_features_of_each_fit_are_kept_side_by_side(self):
        network = engines.create("float32", self.backbone).load()
        for fit in FITS:
            self.backbone = dataclasses.replace(self.backbone, fit=fit)
            result = self.compute()
            self.assertEqual(result.computed_count, 8)
            for features in result.splits.values():
                for image, vector in zip(features.images, features.vectors, strict=True):
                    decoded = pixels.decode(image.path.read_bytes(), 224, 224, fit=fit)
                    expected = network.run(decoded[np.newaxis])[0].astype(np.float16)
                    np.testing.assert_array_equal(expected, vector)
        for fit in FITS:
            self.backbone = dataclasses.replace(self.backbone, fit=fit)
            self.assertEqual(self.compute().computed_count, 0)

    def test_an_unreadable_image_is_left_out_and_named(self):
        bad = self.images / "b/2.png"
        bad.write_bytes(b"not an image")
        with self.assertLogs(level="WARNING") as logs:
            result = self.compute()
        self.assertEqual(list(result.unreadable), [bad])
        self.assertEqual((result.computed_count, result.reused_count), (7, 0))
        self.assertNotIn(bad, [image.path for image in result.dataset.images])
        self.assertIn(str(bad), "\n".join(logs.output))
        self.assertEqual(self.compute().computed_count, 0)

    def test_bottlenecks_of_this_run_do_not_count_as_reused(self):
        for folder in ("a", "b"):
            for number in range(4, 8):
                noise = np.random.default_rng(number).integers(0, 256, (40, 50, 3), np.uint8)
                Image.fromarray(noise).save(self.images / folder / f"{number}{folder}.png")
        dataset = scan_dataset(self.images, SplitOptions())
        damaged = [p.path for p in dataset.images if p.class_id == 0 and p.split != TRAINING]
        self.assertNotEmpty(damaged)
        for path in damaged:
            path.write_bytes(b"not an image")
        options = DistortionOptions(flip_left_right=True, per_image=2)
        with self.assertLogs(level="WARNING"):
            first = self.compute(distortions=options)
        # Other images moved to the splits of the damaged ones.
        moved = [p for p in first.dataset.images if p.class_id == 0 and p.split != TRAINING]
        self.assertNotEmpty(moved)
        count = sum(features.variants[:, :, 0].size for features in first.splits.values())
        # The variants of the images that moved were computed in vain.
        self.assertEqual((first.computed_count, first.reused_count), (count + 2 * len(moved), 0))
        with self.assertLogs(level="WARNING"):
            second = self.compute(distortions=options)
        self.assertEqual(second.computed_count, 0)
        self.assertEqual(second.reused_count, count)

    def test_strict_makes_it_an_error(self):
        (self.images / "b/2.png").write_bytes(b"")
        with self.assertRaisesRegex(
            UserError, "2.png cannot be read: it is an empty file.*--strict"
        ):
            self.compute(strict=True)

    def test_each_split_has_its_images(self):
        result = self.compute()
        training = result.split(TRAINING)
        self.assertEqual(training.images, result.dataset.split(TRAINING))
        self.assertEqual(training.class_ids.tolist(), [p.class_id for p in training.images])
        self.assertEqual(training.vectors.shape, (len(training.images), 1584))
        some = result.split(TEST).sample(1, seed=3)
        self.assertLen(some.images, 1)
        self.assertEqual(some.images, result.split(TEST).sample(1, seed=3).images)

    def test_only_training_images_are_distorted(self):
        plain = self.compute()
        distorted = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=2))
        training = distorted.split(TRAINING)
        count = len(training.images)
        self.assertEqual(distorted.computed_count, 2 * count)
        self.assertEqual(training.variants.shape, (count, 3, 1584))
        np.testing.assert_array_equal(training.vectors, plain.split(TRAINING).vectors)
        first, second = training.variants[:, 1], training.variants[:, 2]
        self.assertTrue((first != training.vectors).any(axis=1).all())
        self.assertTrue((first != second).any(axis=1).all())
        for split in (VALIDATION, TEST):
            np.testing.assert_array_equal(
                distorted.split(split).variants, plain.split(split).variants
            )
        vectors, class_ids = training.examples()
        np.testing.assert_array_equal(vectors[1::3], first)
        self.assertEqual(class_ids.tolist(), np.repeat(training.class_ids, 3).tolist())

    def test_more_variants_compute_only_the_new_ones(self):
        few = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=1))
        more = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=3))
        count = len(more.split(TRAINING).images)
        self.assertEqual(more.computed_count, 2 * count)
        np.testing.assert_array_equal(
            more.split(TRAINING).variants[:, :2], few.split(TRAINING).variants
        )
        again = self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=2))
        self.assertEqual(again.computed_count, 0)

    def test_other_options_or_seeds_are_computed_again(self):
        self.compute(distortions=dataclasses.replace(_DISTORTIONS, per_image=1))
        for change in ({"random_crop": 11}, {"flip_left_right": False}, {"seed": 1}):
            other = dataclasses.replace(_DISTORTIONS, per_image=1, **change)
            result = self.compute(distortions=other)
            self.assertEqual(result.computed_count, len(result.split(TRAINING).images), change)

    def test_an_image_with_two_names_is_in_the_cache_for_both(self):
        shutil.copy(self.images / "a/0.png", self.images / "a/copy.png")
        options = dataclasses.replace(_DISTORTIONS, per_image=1)
        result = self.compute(distortions=options)
        self.assertLen(result.dataset.images, 9)
        self.assertEqual(self.compute(distortions=options).computed_count, 0)

    def test_duplicates_are_reported_unless_switched_off(self):
        shutil.copy(self.images / "a/0.png", self.images / "b/same.png")
        with self.assertLogs(level="WARNING") as logs:
            result = self.compute()
        self.assertIn("in two classes", "\n".join(logs.output))
        with self.assertNoLogs(level="WARNING"):
            compute_bottlenecks(
                result.dataset, self.backbone, "float32", self.cache, warn_duplicates=False
            )

    def test_batches_of_the_network_do_not_grow_with_the_number_of_variants(self):
        batch_sizes = []

        class CountingNetwork(Runtime):
            workers = 1
            batch_size = 4

            def predict(self, pixels: np.ndarray) -> Outputs:
                batch_sizes.append(len(pixels))
                means = pixels.mean(axis=(1, 2, 3), dtype=np.float32)
                return Outputs(np.repeat(means[:, np.newaxis], 1584, axis=1))

            def close(self) -> None:
                batch_sizes.append(-1)

        options = dataclasses.replace(_DISTORTIONS, per_image=21)
        with mock.patch.object(engines, "LiteRTRuntime", lambda *_, **__: CountingNetwork()):
            result = self.compute(distortions=options)
        self.assertEqual(batch_sizes.pop(), -1)  # Closed.
        self.assertLessEqual(max(batch_sizes), 4)
        training = result.split(TRAINING)
        self.assertEqual(sum(batch_sizes), 22 * len(training.images) + 8 - len(training.images))
        for image, vectors in zip(training.images, training.variants, strict=True):
            data = image.path.read_bytes()
            digest = hashlib.sha256(data).digest()
            decoded = distortions.decode_variants(
                data, range(22), options, digest=digest, height=224, width=224
            )
            means = [np.float16(variant.mean(dtype=np.float32)) for variant in decoded]
            np.testing.assert_array_equal(vectors[:, 0], means)

    def test_bottlenecks_that_do_not_fit_into_float16_are_refused_and_not_stored(self):
        class TooLargeNetwork(Runtime):
            workers = batch_size = 1

            def predict(self, pixels: np.ndarray) -> Outputs:
                return Outputs(np.full((len(pixels), 1584), 1e6, np.float32))

            def close(self) -> None: ...

        with (
            mock.patch.object(engines, "LiteRTRuntime", lambda *_, **__: TooLargeNetwork()),
            self.assertRaisesRegex(
                UserError, "^efficientnet_lite0 .* too large for float16"
            ) as caught,
        ):
            self.compute()
        self.assertNotIn("\n", str(caught.exception))
        result = self.compute()
        self.assertEqual((result.computed_count, result.reused_count), (8, 0))


if __name__ == "__main__":
    absltest.main()
