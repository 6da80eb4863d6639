"""Quantises a float32 TFLite file to int8, which makes it four times smaller and twice as fast."""

from collections.abc import Iterable

import numpy as np

from retrain.backbones import tflite_conversion
from retrain.runtimes.litert import LiteRTModel
from retrain.runtimes.runtime import ModelError
from retrain.system.processors import processor_count
from retrain.system.program.console import quiet_libraries


class QuantisationError(Exception):
    """The network cannot be quantised. The message says why."""


def to_int8(tflite: bytes, images: Iterable[np.ndarray]) -> bytes:
    """Returns the network with int8 weights, activations, input and output.

    Static quantisation: the range of each activation is measured on images; the scales of the
    weights are per channel. See Jacob et al., 2017, https://arxiv.org/abs/1712.05877.

    Args:
        tflite: TFLite file from `tflite_conversion`.
        images: Normalised calibration images, float32 [height, width, 3] each.

    Raises:
        QuantisationError: If there are no images, or if an operation has no int8 version.
    """
    samples = [{tflite_conversion.INPUT: image[np.newaxis]} for image in images]
    # LiteRT prints warnings about the mode that the calibration needs.
    with quiet_libraries():
        from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
        from ai_edge_quantizer.utils.qsv_utils import min_max_update

        recipes = recipe_manager.RecipeManager()
        recipes.load_quantization_recipe(recipe.static_wi8_ai8())
        try:
            # The default is a moving average, which clips extremes and depends on the order of the
            # images. The profiler mode takes a third of the default's time.
            calibration = calibrator.Calibrator(
                tflite,
                num_threads=processor_count(),
                mode=calibrator.CalibrationMode.CALIBRATION_PROFILER_BASED,
                qsv_update_func=min_max_update,
            )
            calibration.calibrate({tflite_conversion.SIGNATURE: samples}, recipes)
            quantisation = quantizer.Quantizer(tflite, recipe.static_wi8_ai8())
            quantised = bytes(quantisation.quantize(calibration.get_model_qsvs()).quantized_model)
            model = LiteRTModel(quantised)
        except (ValueError, RuntimeError, NotImplementedError, ModelError) as error:
            raise QuantisationError(str(error)) from error
    if not model.input.dtype == model.output.dtype == np.int8:
        raise QuantisationError(
            f"its input is {model.input.dtype} and its output is {model.output.dtype} instead of "
            "int8"
        )
    return quantised
