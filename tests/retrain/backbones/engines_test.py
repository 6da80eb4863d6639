"""Tests which engine is used, when it is loaded, and that all engines compute the same features."""

import os
import tempfile
import time
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines
from retrain.backbones.engines import AUTO, BFLOAT16, FLOAT32, INT8, TENSORFLOW, Engine
from retrain.errors import UserError
from retrain.runtimes.runtime import Outputs, Runtime
from retrain.system.threads import parallel_map

_WITH_BFLOAT16 = "flags\t\t: fpu avx512f avx512_bf16 avx512_vnni\n"
_WITHOUT_BFLOAT16 = "flags\t\t: fpu avx512f avx512_vnni\n"


def _processor(flags: str | None):
    """Makes the processor report these flags; None makes it report nothing."""
    path = Path(tempfile.mkdtemp(), "cpuinfo")
    if flags is not None:
        path.write_text(flags)
    return mock.patch.object(engines, "_CPU_INFO", path)


def _onednn(switch: str | None):
    """Sets the environment variable that turns oneDNN off."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_ENABLE_ONEDNN_OPTS"}
    if switch is not None:
        environment["TF_ENABLE_ONEDNN_OPTS"] = switch
    return mock.patch.dict(os.environ, environment, clear=True)


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


class ResolveTest(parameterized.TestCase):
    @parameterized.parameters(
        (_WITH_BFLOAT16, None, BFLOAT16),
        (_WITH_BFLOAT16, "1", BFLOAT16),
        (_WITH_BFLOAT16.replace("avx512_bf16", "amx_bf16"), None, BFLOAT16),
        (_WITH_BFLOAT16, "0", FLOAT32),
        (_WITH_BFLOAT16, "false", FLOAT32),
        (_WITHOUT_BFLOAT16, None, FLOAT32),
        (_WITHOUT_BFLOAT16.replace("fpu", "avx512_bf16x"), None, FLOAT32),
        (None, None, FLOAT32),
    )
    def test_auto_is_bfloat16_if_that_is_fast(self, flags, switch, expected):
        with _processor(flags), _onednn(switch):
            self.assertEqual(engines.resolve(AUTO), expected)

    @parameterized.parameters(INT8, FLOAT32, TENSORFLOW)
    def test_other_engines_are_used_on_all_processors(self, name):
        with _processor(None):
            self.assertEqual(engines.resolve(name), name)

    @parameterized.parameters(
        (
            _WITHOUT_BFLOAT16,
            None,
            "needs a processor with .*; choose auto, int8 or float32",
        ),
        (_WITH_BFLOAT16, "0", "needs oneDNN, which TF_ENABLE_ONEDNN_OPTS=0 turns off; choose auto"),
    )
    def test_bfloat16_is_refused_if_it_is_not_available(self, flags, switch, message):
        refused = self.assertRaisesRegex(UserError, f"^--engine=bfloat16 {message}")
        with _processor(flags), _onednn(switch), refused:
            engines.resolve(BFLOAT16)

    def test_the_message_about_an_unknown_name_lists_all_names(self):
        with self.assertRaisesRegex(
            UserError,
            "^--engine=steam is not known; .*: auto, int8, bfloat16, float32, tensorflow$",
        ):
            engines.resolve("steam")

    def test_images_for_evaluation_are_computed_as_in_the_exported_classifier(self):
        self.assertEqual(engines.for_evaluation(BFLOAT16), FLOAT32)
        for name in (INT8, FLOAT32, TENSORFLOW):
            self.assertEqual(engines.for_evaluation(name), name)


class _RecordingRuntime(Runtime):
    """A runtime that records when it is loaded and closed."""

    def __init__(self, log: list[str]) -> None:
        self._log = log
        log.append("loaded")

    def predict(self, pixels: np.ndarray) -> Outputs:
        return Outputs(pixels)

    def close(self) -> None:
        self._log.append("closed")


class LoadTest(absltest.TestCase):
    def test_an_engine_is_loaded_once_and_closed(self):
        log: list[str] = []
        with Engine("name", {}, lambda: _RecordingRuntime(log)) as engine:
            self.assertEqual(log, [])
            self.assertIs(engine.load(), engine.load())
            self.assertEqual(log, ["loaded"])
        self.assertEqual(log, ["loaded", "closed"])
        engine.close()
        self.assertEqual(log, ["loaded", "closed"])

    def test_threads_share_a_network(self):
        log: list[str] = []

        def load_slowly() -> Runtime:
            time.sleep(0.1)
            return _RecordingRuntime(log)

        with Engine("name", {}, load_slowly) as engine:
            loaded = set(parallel_map(lambda _: engine.load(), range(4), 4))
        self.assertLen(loaded, 1)
        self.assertEqual(log, ["loaded", "closed"])

    def test_an_engine_that_was_not_loaded_is_not_closed(self):
        log: list[str] = []
        with Engine("name", {}, lambda: _RecordingRuntime(log)):
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

    def test_recipes_differ_if_features_do(self):
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
        self.assertEqual((found.shape, found.dtype), ((5, 1584), np.float32))
        np.testing.assert_allclose(found, self.exact, atol=1e-3)

    @parameterized.parameters(FLOAT32, TENSORFLOW)
    def test_without_stages_the_features_are_those_of_the_last_layer(self, name):
        with engines.create(name, self.backbone.without_stages()) as engine:
            found = engine.load().run(self.images)
        np.testing.assert_allclose(found, self.exact[:, :1280], atol=1e-3)

    def test_without_stages_recipes_are_those_of_earlier_versions(self):
        engine = engines.create(FLOAT32, self.backbone.without_stages())
        expected = {"backbone": self.backbone.fingerprint, "precision": FLOAT32}
        self.assertEqual(engine.recipe, expected)
        self.assertNotEqual(engines.create(FLOAT32, self.backbone).recipe, expected)

    def test_bfloat16_features_are_close(self):
        try:
            engines.resolve(BFLOAT16)
        except UserError as error:
            self.skipTest(str(error))
        with engines.create(BFLOAT16, self.backbone) as engine:
            found = engine.load().run(self.images)
        # As close as features of photos are: 8 bits of mantissa, after 50 layers.
        self.assertGreater(_cosines(found, self.exact).min(), 0.99)
        # Otherwise, it would not have computed in bfloat16.
        self.assertGreater(np.abs(found - self.exact).max(), 1e-3)

    @parameterized.parameters(FLOAT32, TENSORFLOW)
    def test_a_closed_engine_can_be_loaded_again(self, name):
        with engines.create(name, self.backbone) as engine:
            runtime = engine.load()
            runtime.run(self.images[:1])
        with self.assertRaises((AttributeError, RuntimeError)):
            runtime.run(self.images[:1])
        with engine:
            engine.load().run(self.images[:1])


if __name__ == "__main__":
    absltest.main()
