"""An int8 network computes nearly what the float32 one does, and is of a quarter of its size."""

import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines, freeze, quantise
from retrain.data import pixels
from retrain.runtimes.litert import LiteRTModel
from tests.support import tiny_backbone
from tests.support.tiny_backbone import SIDE

# As a program does it, whose streams native libraries and loggers have, too.
_QUANTISE = """
import sys
from pathlib import Path
from retrain import runtime
from retrain.backbones import quantise
from tests import quantise_test as test
runtime.set_up_messages()
images = test.normalised(test.scenes(2, test.SIDE))
quantise.to_int8(Path(sys.argv[1]).read_bytes(), images)
print("done")
"""


def scenes(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Returns images of blurred patches, uint8 [count, side, side, 3]."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side))) for one in patches])


def normalised(images: np.ndarray) -> Iterator[np.ndarray]:
    return (pixels.normalise(image, 127, 128) for image in images)


def cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


class TinyNetworkTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.network = tiny_backbone.network()
        cls.flatbuffer = freeze.to_tflite(cls.network)
        cls.quantised = quantise.to_int8(cls.flatbuffer, normalised(scenes(20, SIDE)))

    def refused(self, flatbuffer: bytes, images, reason: str) -> None:
        with self.assertRaisesRegex(quantise.QuantisationError, reason):
            quantise.to_int8(flatbuffer, images)

    def test_takes_and_gives_int8_of_the_same_shapes(self):
        before, after = LiteRTModel(self.flatbuffer), LiteRTModel(self.quantised)
        for tensor, of_float in ((after.input, before.input), (after.output, before.output)):
            self.assertEqual((tensor.dtype, tensor.shape), (np.int8, of_float.shape))
            self.assertGreater(tensor.scale, 0)

    def test_no_pixel_is_out_of_range(self):
        white_and_black = np.zeros((5, SIDE, SIDE, 3), np.uint8)
        white_and_black[3] = 255
        into = LiteRTModel(quantise.to_int8(self.flatbuffer, normalised(white_and_black))).input
        ends = (np.array([-128, 127]) - into.zero_point) * into.scale
        np.testing.assert_allclose(ends, [-127 / 128, 1], atol=0.01)

    def test_computes_nearly_the_same(self):
        model = LiteRTModel(self.quantised)
        # Of images that it was not measured on.
        images = np.stack(list(normalised(scenes(10, SIDE, seed=1))))
        numbers = engines.quantise_pixels(images, model.input.scale, model.input.zero_point)
        found = np.concatenate([model.run(one[np.newaxis]) for one in numbers]).astype(np.float32)
        found = (found - model.output.zero_point) * model.output.scale
        wanted = self.network(images).numpy()
        self.assertGreater(cosines(found, wanted).min(), 0.98)
        self.assertLess(np.abs(found - wanted).max(), 0.4 * wanted.max())

    def test_the_same_images_give_the_same_bytes(self):
        again = quantise.to_int8(self.flatbuffer, normalised(scenes(20, SIDE)))
        self.assertEqual(again, self.quantised)
        backwards = quantise.to_int8(self.flatbuffer, normalised(scenes(20, SIDE)[::-1]))
        self.assertEqual(backwards, self.quantised)
        other = quantise.to_int8(self.flatbuffer, normalised(scenes(20, SIDE, seed=1)))
        self.assertNotEqual(other, self.quantised)

    def test_says_nothing(self):
        file = self.create_tempfile(content=self.flatbuffer, mode="wb").full_path
        done = subprocess.run(
            [sys.executable, "-c", _QUANTISE, file],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        self.assertEqual((done.stdout, done.stderr), ("done\n", ""))

    def test_nothing_to_measure_on_is_refused(self):
        self.refused(self.flatbuffer, [], "calibration")

    def test_a_network_that_another_program_made_is_refused(self):
        nameless = self.flatbuffer.replace(b"serving_default", b"without_a_name!")
        self.refused(nameless, normalised(scenes(2, SIDE)), "serving_default")


class DefaultBackboneTest(absltest.TestCase):
    def test_features_are_nearly_those_of_float32(self):
        backbone = efficientnet_lite0.load()
        flatbuffer = backbone.tflite_file.read_bytes()
        quantised = quantise.to_int8(flatbuffer, normalised(scenes(20, 224)))
        self.assertLess(len(quantised), 0.31 * len(flatbuffer))
        images = scenes(5, 224, seed=1)
        exact = engines.engine(engines.FLOAT32, backbone).load().features(images)
        fast = engines.engine(engines.INT8, backbone, quantised).load().features(images)
        self.assertEqual((fast.shape, fast.dtype), ((5, 1280), np.float32))
        self.assertGreater(cosines(fast, exact).min(), 0.9)
        # Each is nearer to its own image than to any other.
        likeness = np.corrcoef(fast, exact)[:5, 5:]
        self.assertEqual(likeness.argmax(axis=1).tolist(), list(range(5)))


if __name__ == "__main__":
    absltest.main()
