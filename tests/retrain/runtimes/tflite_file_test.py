"""Tests that TFLite files with all kinds of numbers and descriptions are loaded."""

import io
import zipfile

import numpy as np
from absl.testing import absltest, parameterized

from retrain.metadata import MetadataError
from retrain.runtimes import tflite_file
from retrain.runtimes.runtime import Description, ModelError, NetworkOverrides, Runtime
from tests.support import sample_classifier, tflite_models

_LABELS = ("red", "green", "blue")
_COLOURS = np.array([(220, 30, 40), (20, 200, 50), (10, 60, 240)], np.uint8)
_IMAGES = np.broadcast_to(_COLOURS[:, np.newaxis, np.newaxis], (3, 8, 6, 3))
_KINDS = ("float32", "uint8", "int8")


def _network(kind: str) -> bytes:
    """Returns a network whose strongest value is that of the strongest channel.

    Its input stands for pixels from 0 to 1.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 6, 3], tf.float32)])
    def strongest(pixels):
        return tf.nn.softmax(5 * tf.reduce_mean(pixels, [1, 2]))

    converter = tf.lite.TFLiteConverter.from_concrete_functions([strongest.get_concrete_function()])
    if kind != "float32":
        rng = np.random.default_rng(0)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [rng.uniform(0, 1, (1, 1, 1, 3)).astype(np.float32) * np.ones((1, 8, 6, 3), np.float32)]
            for _ in range(50)
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.dtypes.as_dtype(kind)
    return converter.convert()


def _network_without_quantisation() -> bytes:
    """Returns such a network whose uint8 input is not quantised: it is pixels from 0 to 255."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([1, 8, 6, 3], tf.uint8)])
    def strongest(pixels):
        return tf.nn.softmax(5 / 255 * tf.reduce_mean(tf.cast(pixels, tf.float32), [1, 2]))

    concrete = strongest.get_concrete_function()
    return tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()


def _append_files(
    network: bytes, files: dict[str, str | bytes], *, compression: int = zipfile.ZIP_STORED
) -> bytes:
    result = io.BytesIO(network)
    with zipfile.ZipFile(result, "a", compression) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return result.getvalue()


def _metadata(**changes) -> str:
    """Returns the metadata of pixels from 0 to 1."""
    fields = dict(labels=_LABELS, height=8, width=6, mean=(0.0,) * 3, std=(255.0,) * 3)
    return sample_classifier.classifier(**{**fields, **changes}).metadata.to_json()


class TFLiteFileTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.networks = {kind: _network(kind) for kind in _KINDS}

    def assert_finds_the_colours(self, runtime: Runtime, description: Description) -> None:
        self.assertEqual(runtime.description, description)
        exact = np.exp(5.0 * _COLOURS / 255)
        expected = exact / exact.sum(1, keepdims=True)
        np.testing.assert_allclose(runtime.run(_IMAGES), expected, atol=0.02)

    @parameterized.parameters(*_KINDS)
    def test_metadata_describe_the_network(self, kind: str):
        content = _append_files(self.networks[kind], {"retrain_metadata.json": _metadata()})
        self.assert_finds_the_colours(tflite_file.load(content), Description(_LABELS, 8, 6))

    @parameterized.parameters(*_KINDS)
    def test_a_file_with_labels_takes_pixels_as_they_are(self, kind: str):
        content = _append_files(self.networks[kind], {"labels.txt": "red\ngreen\nblue\n"})
        self.assert_finds_the_colours(tflite_file.load(content), Description(_LABELS, 8, 6))

    @parameterized.parameters(*_KINDS)
    def test_a_bare_network_takes_pixels_as_they_are(self, kind: str):
        runtime = tflite_file.load(self.networks[kind])
        self.assert_finds_the_colours(runtime, Description(None, 8, 6))

    def test_bytes_without_quantisation_are_pixels(self):
        runtime = tflite_file.load(_network_without_quantisation())
        self.assert_finds_the_colours(runtime, Description(None, 8, 6))

    @parameterized.parameters(*_KINDS)
    def test_channels_can_have_another_order(self, kind: str):
        metadata = _metadata(channel_order="BGR")
        content = _append_files(self.networks[kind], {"retrain_metadata.json": metadata})
        found = tflite_file.load(content).run(_IMAGES)
        np.testing.assert_array_equal(found.argmax(1), [2, 1, 0])

    def test_overrides_win_over_the_metadata(self):
        metadata = _metadata(mean=(100.0,) * 3, std=(1.0,) * 3)
        content = _append_files(self.networks["float32"], {"retrain_metadata.json": metadata})
        runtime = tflite_file.load(content, overrides=NetworkOverrides(mean=0, std=255))
        self.assert_finds_the_colours(runtime, Description(_LABELS, 8, 6))

    def test_images_of_another_size_are_an_error(self):
        for kind in _KINDS:
            with self.assertRaises(ModelError):
                tflite_file.load(self.networks[kind]).run(np.zeros((1, 9, 6, 3), np.uint8))

    @parameterized.parameters(
        ("retrain_metadata.json", b"{", "metadata cannot be read"),
        ("labels.txt", b"gr\xfcn\n", "labels.txt is not UTF-8"),
    )
    def test_damaged_descriptions_are_an_error(self, name, content, message):
        content = _append_files(self.networks["float32"], {name: content})
        with self.assertRaisesRegex(MetadataError, message):
            tflite_file.load(content)

    def test_a_damaged_archive_is_an_error(self):
        content = _append_files(self.networks["float32"], {"labels.txt": "red\n"})
        with self.assertRaisesRegex(MetadataError, "ZIP archive"):
            tflite_file.load(content.replace(b"red\n", b"rot\n"))

    def test_damaged_compressed_files_are_an_error(self):
        labels = "".join(f"label {number}\n" for number in range(100))
        start = len(self.networks["float32"])
        content = bytearray(
            _append_files(
                self.networks["float32"], {"labels.txt": labels}, compression=zipfile.ZIP_DEFLATED
            )
        )
        # The data follow a header of 30 bytes and the name.
        first = start + 30 + len("labels.txt")
        content[first : first + 20] = b"\xff" * 20
        with self.assertRaisesRegex(MetadataError, "ZIP archive"):
            tflite_file.load(bytes(content))

    @parameterized.parameters(
        ((1, 8, 6, 1), "float32", r"\[1, 8, 6, 1\]"),
        ((2, 8, 6, 3), "float32", r"\[2, 8, 6, 3\]"),
        ((1, 100), "float32", r"\[1, 100\]"),
        ((1, 8, 6, 3), "int32", "int32, not float32"),
    )
    def test_networks_of_other_things_are_refused(self, shape, dtype, message):
        with self.assertRaisesRegex(ModelError, message):
            tflite_file.load(tflite_models.identity(shape, dtype))

    def test_a_cut_file_is_an_error(self):
        with self.assertRaises(ModelError):
            tflite_file.load(self.networks["float32"][:200])

    def test_tflite_files_are_recognised_by_their_beginning(self):
        self.assertTrue(tflite_file.is_tflite(self.networks["int8"][:8]))
        for content in (b"", b"TFL3", b"\x0a\x40\x0a\x13Decode"):
            self.assertFalse(tflite_file.is_tflite(content))


if __name__ == "__main__":
    absltest.main()
