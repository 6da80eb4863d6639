"""An int8 network computes nearly the same as the float32 network, with a quarter of its size."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from retrain.backbones import efficientnet_lite0, engines, quantise, tflite_conversion
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.preprocessing import normalise
from tests.support import tiny_backbone
from tests.support.python_code import run_python
from tests.support.tiny_backbone import SIDE

# The process has the same streams and loggers as one of the programs.
_QUANTISE = """
import sys
from pathlib import Path
import numpy as np
from retrain.backbones import quantise
from retrain.system.program import console
console.set_up_messages()
quantise.to_int8(Path(sys.argv[1]).read_bytes(), np.load(sys.argv[2]))
print("done")
"""


def _scenes(count: int, side: int, *, seed: int = 0) -> np.ndarray:
    """Returns images of blurred patches, uint8 [count, side, side, 3]."""
    rng = np.random.default_rng(seed)
    patches = rng.integers(0, 256, (count, 6, 6, 3), np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((side, side))) for one in patches])


def _normalise(images: np.ndarray) -> Iterator[np.ndarray]:
    return (normalise(image, 127, 128) for image in images)


def _cosines(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Returns the cosine of each pair of rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return (one * other).sum(axis=1) / lengths


class TinyNetworkTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.network = tiny_backbone.build_network()
        cls.tflite = tflite_conversion.convert_keras(cls.network)
        cls.quantised = quantise.to_int8(cls.tflite, _normalise(_scenes(20, SIDE)))

    def refused(self, tflite: bytes, images, reason: str) -> None:
        with self.assertRaisesRegex(quantise.QuantisationError, reason):
            quantise.to_int8(tflite, images)

    def test_input_and_output_are_int8_and_keep_their_shapes(self):
        before, after = LiteRTModel(self.tflite), LiteRTModel(self.quantised)
        for tensor, original in ((after.input, before.input), (after.output, before.output)):
            self.assertEqual((tensor.dtype, tensor.shape), (np.int8, original.shape))
            self.assertGreater(tensor.scale, 0)

    def test_the_range_of_the_input_covers_the_extremes(self):
        white_and_black = np.zeros((5, SIDE, SIDE, 3), np.uint8)
        white_and_black[3] = 255
        model_input = LiteRTModel(quantise.to_int8(self.tflite, _normalise(white_and_black))).input
        ends = model_input.dequantise(np.array([-128, 127], np.int8))
        np.testing.assert_allclose(ends, [-127 / 128, 1], atol=0.01)

    def test_outputs_are_nearly_those_of_the_float32_network(self):
        model = LiteRTModel(self.quantised)
        # The images differ from those of the calibration.
        images = np.stack(list(_normalise(_scenes(10, SIDE, seed=1))))
        numbers = np.concatenate(
            [model.run(image[np.newaxis]) for image in model.input.quantise(images)]
        )
        actual = model.output.dequantise(numbers)
        expected = self.network(images).numpy()
        self.assertGreater(_cosines(actual, expected).min(), 0.98)
        self.assertLess(np.abs(actual - expected).max(), 0.4 * expected.max())

    def test_the_result_depends_on_the_images_but_not_on_their_order(self):
        again = quantise.to_int8(self.tflite, _normalise(_scenes(20, SIDE)))
        self.assertEqual(again, self.quantised)
        backwards = quantise.to_int8(self.tflite, _normalise(_scenes(20, SIDE)[::-1]))
        self.assertEqual(backwards, self.quantised)
        other = quantise.to_int8(self.tflite, _normalise(_scenes(20, SIDE, seed=1)))
        self.assertNotEqual(other, self.quantised)

    def test_nothing_is_printed(self):
        folder = Path(self.create_tempdir().full_path)
        (folder / "network.tflite").write_bytes(self.tflite)
        np.save(folder / "images.npy", np.stack(list(_normalise(_scenes(2, SIDE)))))
        done = run_python(_QUANTISE, folder / "network.tflite", folder / "images.npy", check=True)
        self.assertEqual((done.stdout, done.stderr), ("done\n", ""))

    def test_without_images_it_is_refused(self):
        self.refused(self.tflite, [], "calibration")

    def test_a_file_with_another_signature_is_refused(self):
        nameless = self.tflite.replace(b"serving_default", b"without_a_name!")
        self.refused(nameless, _normalise(_scenes(2, SIDE)), "serving_default")


class DefaultBackboneTest(absltest.TestCase):
    def test_features_are_nearly_those_of_float32(self):
        backbone = efficientnet_lite0.load()
        tflite = backbone.tflite_file.read_bytes()
        quantised = quantise.to_int8(tflite, _normalise(_scenes(20, 224)))
        self.assertLess(len(quantised), 0.31 * len(tflite))
        images = _scenes(5, 224, seed=1)
        exact = engines.create(engines.FLOAT32, backbone).load().run(images)
        fast = engines.create(engines.INT8, backbone, int8_network=quantised).load().run(images)
        self.assertEqual((fast.shape, fast.dtype), ((5, 1584), np.float32))
        self.assertGreater(_cosines(fast, exact).min(), 0.9)
        # The features of each image are most similar to the exact features of the same image.
        correlation = np.corrcoef(fast, exact)[:5, 5:]
        self.assertEqual(correlation.argmax(axis=1).tolist(), list(range(5)))


if __name__ == "__main__":
    absltest.main()
