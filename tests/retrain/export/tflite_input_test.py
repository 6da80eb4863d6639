"""Tests that the input prepended to a TFLite model normalises images as the model expects."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export import tflite_input
from retrain.export.tflite_editor import EditableModel
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.preprocessing import normalise
from tests.support import tflite_models

_SHAPE = (1, 4, 5, 3)
_MEAN, _STD = (100.0, 120.0, 140.0), (50.0, 60.0, 70.0)


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, _SHAPE, np.uint8)


class AcceptUint8Test(parameterized.TestCase):
    @parameterized.parameters(False, True)
    def test_float_model_receives_normalised_pixels(self, bgr: bool):
        model = EditableModel(tflite_models.identity(_SHAPE))
        tflite_input.accept_uint8(model, _MEAN, _STD, bgr=bgr)
        litert = LiteRTModel(model.to_bytes())
        self.assertEqual((litert.input.shape, litert.input.dtype), (_SHAPE, np.uint8))
        channels = _image()[..., ::-1] if bgr else _image()
        np.testing.assert_allclose(
            litert.run(_image()), normalise(channels, _MEAN, _STD), atol=1e-5
        )

    @parameterized.parameters(False, True)
    def test_int8_model_receives_normalised_pixels(self, bgr: bool):
        scale, zero_point = 0.02, 3
        model = EditableModel(
            tflite_models.identity(_SHAPE, "int8", scale=scale, zero_point=zero_point)
        )
        tflite_input.accept_uint8(model, _MEAN, _STD, bgr=bgr)
        flatbuffer = model.to_bytes()
        self.assertEmpty(tflite_models.float_operators(flatbuffer))
        litert = LiteRTModel(flatbuffer)
        self.assertEqual((litert.input.shape, litert.input.dtype), (_SHAPE, np.uint8))
        channels = _image()[..., ::-1] if bgr else _image()
        expected = np.clip(normalise(channels, _MEAN, _STD), *(scale * np.array([-131, 124])))
        found = (litert.run(_image()).astype(np.float32) - zero_point) * scale
        # 1/std is quantised to 1/127 of the largest, and the result to steps of `scale`.
        np.testing.assert_allclose(found, expected, atol=0.04)


class AcceptCommonNormalisationTest(parameterized.TestCase):
    @parameterized.product(bgr=(False, True), common=((0.0, 255.0), (127.0, 128.0)))
    def test_model_receives_pixels_normalised_for_each_channel(
        self, bgr: bool, common: tuple[float, float]
    ):
        model = EditableModel(tflite_models.identity(_SHAPE))
        mean, std = common
        tflite_input.accept_common_normalisation(
            model, _MEAN, _STD, common_mean=mean, common_std=std, bgr=bgr
        )
        channels = _image()[..., ::-1] if bgr else _image()
        found = LiteRTModel(model.to_bytes()).run(normalise(_image(), mean, std))
        np.testing.assert_allclose(found, normalise(channels, _MEAN, _STD), atol=1e-5)


if __name__ == "__main__":
    absltest.main()
