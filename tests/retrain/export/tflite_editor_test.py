"""Tests that EditableModel adds operators, constants, metadata and a signature to TFLite files."""

import numpy as np
from absl.testing import absltest, parameterized

from retrain.export.tflite_editor import EditableModel, NewTensor, Quantisation
from retrain.runtimes.litert import LiteRTModel
from tests.support import tflite_models

_SHAPE = (1, 3)


def _model() -> EditableModel:
    return EditableModel(tflite_models.identity(_SHAPE))


def _run(model: EditableModel, value: list[float]) -> np.ndarray:
    return LiteRTModel(model.to_bytes()).run(np.array([value], np.float32))[0]


def _constant(model: EditableModel, value: float):
    return model.add_constant("constant", np.full(_SHAPE, value, np.float32))


class EditableModelTest(parameterized.TestCase):
    def test_appended_operators_run_in_order(self):
        model = _model()
        for operator, value in (("ADD", 10.0), ("MUL", 2.0)):
            inputs = [model.output, _constant(model, value)]
            output = model.append(operator, inputs, NewTensor(operator, "float32", _SHAPE))
            self.assertEqual(model.output, output)
        np.testing.assert_array_equal(_run(model, [0, 1, 2]), [20, 22, 24])

    def test_prepended_operators_run_in_reverse_order(self):
        model = _model()
        for operator, value in (("ADD", 10.0), ("MUL", 2.0)):
            constants = [_constant(model, value)]
            new_input = model.prepend(
                operator, NewTensor(operator, "float32", _SHAPE), constants=constants
            )
            self.assertEqual(model.input, new_input)
        np.testing.assert_array_equal(_run(model, [0, 1, 2]), [10, 12, 14])

    def test_options_reach_the_operator(self):
        model = _model()
        model.append("SOFTMAX", [model.output], NewTensor("y", "float32", _SHAPE), beta=2.0)
        expected = np.exp([0, 2, 4]) / np.exp([0, 2, 4]).sum()
        np.testing.assert_allclose(_run(model, [0, 1, 2]), expected, rtol=1e-5)

    def test_operators_keep_their_version(self):
        model = _model()
        model.append(
            "CAST", [model.output], NewTensor("y", "int16", _SHAPE, Quantisation(1.0)), version=3
        )
        (operator,) = tflite_models.operators(model.to_bytes())
        self.assertEqual(operator, ("CAST", 3, {"FLOAT32", "INT16"}))

    def test_quantisation_can_be_read_back(self):
        model = EditableModel(tflite_models.identity(_SHAPE, "int8", scale=0.5, zero_point=-7))
        self.assertEqual(model.input.quantisation, (0.5, -7))
        self.assertIsNone(_model().input.quantisation)
        signed = NewTensor("y", "uint8", _SHAPE, Quantisation(0.5, 121))
        output = model.append("QUANTIZE", [model.output], signed)
        self.assertEqual((output.shape, output.quantisation), (_SHAPE, (0.5, 121)))
        integers = np.array([[-128, 0, 100]], np.int8)
        np.testing.assert_array_equal(LiteRTModel(model.to_bytes()).run(integers), [[0, 128, 228]])

    def test_tensor_data_after_the_flatbuffer_is_kept(self):
        from ai_edge_litert import schema_py_generated as schema

        model = _model()
        model.append(
            "ADD", [model.output, _constant(model, 5.0)], NewTensor("y", "float32", _SHAPE)
        )
        data = bytearray(model.to_bytes())
        content = np.full(_SHAPE, 7, np.float32).tobytes()
        parsed = schema.ModelT.InitFromPackedBuf(bytes(data))
        constant = parsed.buffers[-1]
        self.assertEqual(bytes(constant.data), np.full(_SHAPE, 5, np.float32).tobytes())
        edited = EditableModel(_with_external_buffer(parsed, content))
        np.testing.assert_array_equal(_run(edited, [0, 1, 2]), [7, 8, 9])

    def test_signature_names_input_and_output(self):
        from ai_edge_litert.interpreter import Interpreter

        model = _model()
        inputs = [model.output, _constant(model, 1.0)]
        model.append("ADD", inputs, NewTensor("y", "float32", _SHAPE))
        interpreter = Interpreter(model_content=model.to_bytes())
        self.assertEqual(
            interpreter.get_signature_list(),
            {"serving_default": {"inputs": ["image"], "outputs": ["probabilities"]}},
        )

    def test_metadata_is_stored_under_its_name(self):
        from ai_edge_litert import schema_py_generated as schema

        model = _model()
        model.add_metadata("FIRST", b"1")
        model.add_metadata("SECOND", b"22")
        parsed = schema.ModelT.InitFromPackedBuf(model.to_bytes())
        found = {
            entry.name.decode(): bytes(parsed.buffers[entry.buffer].data)
            for entry in parsed.metadata
        }
        self.assertEqual(found, {"FIRST": b"1", "SECOND": b"22"})


def _with_external_buffer(model, content: bytes) -> bytes:
    """Returns the file with the last buffer's data after the flatbuffer, as of large models."""
    import flatbuffers

    def pack(offset: int) -> bytes:
        buffer = model.buffers[-1]
        buffer.data, buffer.offset, buffer.size = None, offset, len(content)
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    # Placeholders of the final size keep the length of the flatbuffer.
    length = len(pack(1 << 20))
    return pack(length) + content


if __name__ == "__main__":
    absltest.main()
