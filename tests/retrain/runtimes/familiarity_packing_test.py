"""Tests that a familiarity survives the metadata, and that no damaged one is read."""

import base64
import dataclasses
import json
import math
from typing import Any

import numpy as np
from absl.testing import absltest, parameterized

from retrain.metadata import MetadataError
from retrain.model_limits import LIMITS
from retrain.runtimes import familiarity_packing
from tests.support import sample_familiarity


class FamiliarityPackingTest(parameterized.TestCase):
    def setUp(self):
        self.familiarity = sample_familiarity.create(width=7, classes=4)
        self.packed = json.loads(json.dumps(familiarity_packing.pack(self.familiarity)))

    def test_an_equal_familiarity_is_unpacked(self):
        unpacked = familiarity_packing.unpack(self.packed, classes=4)
        for field in dataclasses.fields(self.familiarity):
            value, expected = (getattr(f, field.name) for f in (unpacked, self.familiarity))
            np.testing.assert_array_equal(value, expected, field.name)
            self.assertEqual(np.asarray(value).dtype, np.asarray(expected).dtype, field.name)
        self.assertIsNone(familiarity_packing.unpack(None, classes=4))

    @parameterized.parameters(
        ("width", 8),
        ("width", 0),
        ("width", True),
        ("width", 10**12),
        ("width", "7"),
        ("rank", 2),
        ("rank", -1),
        ("rank", 1.0),
        ("center", 3),
        ("center", ""),
        ("center", "A" * 10_000_000),
        ("basis", "*" * 56),
        ("basis", "ä" * 56),
        ("means", None),
        ("variances", [1, 1]),
        ("variances", [1, 1, 0]),
        ("variances", [1, 1, -1]),
        ("variances", [1, 1, 1e300]),
        ("variances", [1, 1, "1"]),
        ("variances", {"0": 1}),
        ("residual_variance", 0),
        ("residual_variance", True),
        ("residual_variance", "1"),
        ("residual_variance", 10**400),
        ("distances", [1, 2]),
        ("distances", [1, 2, 2]),
        ("distances", [-1, 2, 3]),
        ("distances", [1, 2, 1e39]),
        ("distances", [1, 2, [3]]),
        ("distances", list(range(2000))),
        ("shares", [1, 0.5, 0]),
        ("shares", [1, 0.5, 0.5]),
        ("shares", [2, 0.5, 0.1]),
        ("shares", []),
        ("tail_scale", -1),
        ("tail_scale", None),
    )
    def test_each_value_has_a_type_a_size_and_a_range(self, name: str, value: Any):
        with self.assertRaisesRegex(MetadataError, "familiarity in its metadata") as caught:
            familiarity_packing.unpack({**self.packed, name: value}, classes=4)
        self.assertLess(len(str(caught.exception)), 400)

    @parameterized.parameters(0, 3, 5, 100_000)
    def test_the_number_of_classes_is_that_of_the_means(self, classes: int):
        with self.assertRaisesRegex(MetadataError, "means"):
            familiarity_packing.unpack(self.packed, classes=classes)

    def test_missing_values_are_refused(self):
        for name in self.packed:
            packed = {key: value for key, value in self.packed.items() if key != name}
            with self.subTest(name), self.assertRaisesRegex(MetadataError, name):
                familiarity_packing.unpack(packed, classes=4)

    @parameterized.parameters(np.nan, np.inf)
    def test_matrices_have_finite_numbers(self, number: float):
        center = np.full(7, number, "<f2")
        self.packed["center"] = base64.b64encode(center.tobytes()).decode()
        with self.assertRaisesRegex(MetadataError, "center is not 7 finite numbers"):
            familiarity_packing.unpack(self.packed, classes=4)

    def test_a_thousand_classes_of_many_features_need_less_than_1_mb(self):
        rank = 350_000 // (1584 + 1000)
        large = sample_familiarity.create(width=1584, classes=1000, rank=rank)
        size = len(json.dumps(familiarity_packing.pack(large)))
        self.assertLess(size, 1_000_000)
        self.assertLess(size, LIMITS.metadata_bytes)
        self.assertGreater(size, 4 * math.prod(large.basis.shape) // 2)


if __name__ == "__main__":
    absltest.main()
