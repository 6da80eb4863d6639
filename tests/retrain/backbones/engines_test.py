"""Engines are what the processor runs fastest, are loaded once, and agree with one another."""

import os
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.backbones.engines import AUTO, BFLOAT16, FLOAT32, INT8, TENSORFLOW, Engine
from retrain.errors import UserError

_WITH = "flags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n"
_WITHOUT = "flags\t\t: fpu avx512f avx512_vnni\n"


def processor(flags: str | None):
    """Lets the processor say `flags` of itself; nothing at all where None."""
    path = Path(tempfile.mkdtemp(), "cpuinfo")
    if flags is not None:
        path.write_text(flags)
    return mock.patch.object(engines, "_PROCESSOR_FLAGS", path)


def onednn(switch: str | None):
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if switch is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = switch
    return mock.patch.dict(os.environ, environment, clear=True)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


class ChoiceTest(parameterized.TestCase):
    @parameterized.parameters(
        (_WITH, None, BFLOAT16),
        (_WITH, "1", BFLOAT16),
        (_WITH.replace("avx512_bf16", "amx_bf16"), None, BFLOAT16),
        (_WITH, "0", FLOAT32),
        (_WITH, "false", FLOAT32),
        (_WITHOUT, None, FLOAT32),
        (_WITHOUT.replace("fpu", "avx512_bf16x"), None, FLOAT32),
        (None, None, FLOAT32),
    )
    def test_auto_takes_bfloat16_where_it_is_fast(self, flags, switch, wanted):
        with processor(flags), onednn(switch):
            self.assertEqual(engines.resolve(AUTO), wanted)

    @parameterized.parameters(INT8, FLOAT32, TENSORFLOW)
    def test_what_runs_everywhere_is_taken_everywhere(self, name):
        with processor(None):
            self.assertEqual(engines.resolve(name), name)

    @parameterized.parameters(
        (
            _WITHOUT,
            None,
            "needs a processor with bfloat16 .* not have; choose auto, int8 or float32",
        ),
        (_WITH, "0", "needs oneDNN, which TF_ENABLE_ONEDNN_OPTS=0 turns off; choose auto"),
    )
    def test_bfloat16_where_it_cannot_be_had_is_told(self, flags, switch, message):
        told = self.assertRaisesRegex(UserError, f"^--engine=bfloat16 {message}")
        with processor(flags), onednn(switch), told:
            engines.resolve(BFLOAT16)

    def test_an_unknown_name_is_answered_with_the_known_ones(self):
        with self.assertRaisesRegex(
            UserError,
            "^--engine=steam is not known; .*: auto, int8, bfloat16, float32, tensorflow$",
        ):
            engines.resolve("steam")

    def test_images_of_the_test_are_computed_as_the_classifier_will_compute(self):
        self.assertEqual(engines.for_testing(BFLOAT16), FLOAT32)
        for name in (INT8, FLOAT32, TENSORFLOW):
            self.assertEqual(engines.for_testing(name), name)


class Recording:
    """A runner that tells what is done to it."""

    batch_size = workers = 1

    def __init__(self, log: list[str]) -> None:
        self._log = log
        log.append("loaded")

    def features(self, pixels: np.ndarray) -> np.ndarray:
        return pixels

    def close(self) -> None:
        self._log.append("closed")


class LoadingTest(absltest.TestCase):
    def test_is_loaded_when_it_is_needed_once_and_closed(self):
        log: list[str] = []
        with Engine("name", {}, lambda: Recording(log)) as engine:
            self.assertEqual(log, [])
            self.assertIs(engine.load(), engine.load())
            self.assertEqual(log, ["loaded"])
        self.assertEqual(log, ["loaded", "closed"])
        engine.close()
        self.assertEqual(log, ["loaded", "closed"])

    def test_what_was_not_loaded_is_not_closed(self):
        log: list[str] = []
        with Engine("name", {}, lambda: Recording(log)):
            pass
        self.assertEqual(log, [])


class FeaturesTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = efficientnet_lite0.load()
        rng = np.random.default_rng(0)
        patches = rng.integers(0, 256, (5, 6, 6, 3), np.uint8)
        scenes = [np.asarray(Image.fromarray(one).resize((224, 224))) for one in patches]
        cls.images = np.stack(scenes)
        with engines.create(FLOAT32, cls.backbone) as engine:
            cls.exact = engine.load().run(cls.images)

    def test_recipes_differ_by_whatever_changes_features(self):
        recipes = [
            engines.create(INT8, self.backbone, int8_network=b"one network").recipe,
            engines.create(INT8, self.backbone, int8_network=b"another").recipe,
            *(engines.create(n, self.backbone).recipe for n in (BFLOAT16, FLOAT32, TENSORFLOW)),
        ]
        self.assertLen({tuple(sorted(recipe.items())) for recipe in recipes}, 5)

    @parameterized.parameters(FLOAT32, TENSORFLOW)
    def test_exact_engines_agree(self, name):
        with engines.create(name, self.backbone) as engine:
            found = engine.load().run(self.images)
        self.assertEqual((found.shape, found.dtype), ((5, 1280), np.float32))
        np.testing.assert_allclose(found, self.exact, atol=1e-3)

    def test_bfloat16_is_near_to_them(self):
        try:
            engines.resolve(BFLOAT16)
        except UserError as error:
            self.skipTest(str(error))
        with engines.create(BFLOAT16, self.backbone) as engine:
            found = engine.load().run(self.images)
        # As near as features of photos are: 8 bits of mantissa, after 50 layers.
        self.assertGreater(cosines(found, self.exact).min(), 0.99)
        # Else it was not bfloat16 that was calculated with.
        self.assertGreater(np.abs(found - self.exact).max(), 1e-3)

    @parameterized.parameters(FLOAT32, TENSORFLOW)
    def test_what_is_closed_cannot_be_run_and_is_loaded_again(self, name):
        with engines.create(name, self.backbone) as engine:
            runner = engine.load()
            runner.run(self.images[:1])
        with self.assertRaises((AttributeError, RuntimeError)):
            runner.run(self.images[:1])
        with engine:
            engine.load().run(self.images[:1])


if __name__ == "__main__":
    absltest.main()
