"""Tests that TFLite files with all kinds of numbers and descriptions are loaded."""

import dataclasses
import io
import zipfile

import flatbuffers
import numpy as np
from absl.testing import absltest, parameterized

from retrain.metadata import STRETCH, MetadataError
from retrain.runtimes import tflite_description, tflite_file
from retrain.runtimes.runtime import (
    NO_OVERRIDES,
    Description,
    ModelError,
    NetworkOverrides,
    Runtime,
)
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
        self.assertEqual(dataclasses.replace(runtime.description, assumption=None), description)
        exact = np.exp(5.0 * _COLOURS / 255)
        expected = exact / exact.sum(1, keepdims=True)
        np.testing.assert_allclose(runtime.run(_IMAGES), expected, atol=0.02)

    @parameterized.parameters(*_KINDS)
    def test_metadata_describe_the_network(self, kind: str):
        content = _append_files(self.networks[kind], {"retrain_metadata.json": _metadata()})
        self.assert_finds_the_colours(
            tflite_file.load(content), Description(_LABELS, 8, 6, fit=STRETCH)
        )

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
        self.assert_finds_the_colours(runtime, Description(_LABELS, 8, 6, fit=STRETCH))

    def test_what_a_file_does_not_state_is_named(self):
        for kind, assumption in (
            ("float32", "so they are divided by 255"),
            ("uint8", "so its uint8 numbers are taken for the pixels"),
            ("int8", "so its int8 numbers are taken for the pixels"),
        ):
            for files in ({}, {"labels.txt": "red\ngreen\nblue\n"}):
                runtime = tflite_file.load(_append_files(self.networks[kind], files))
                self.assertIn(assumption, runtime.description.assumption)
            content = _append_files(self.networks[kind], {"retrain_metadata.json": _metadata()})
            self.assertIsNone(tflite_file.load(content).description.assumption)
        given = NetworkOverrides(mean=0, std=255)
        runtime = tflite_file.load(self.networks["float32"], overrides=given)
        self.assertIsNone(runtime.description.assumption)

    def test_images_of_another_size_are_an_error(self):
        for kind in _KINDS:
            with self.assertRaises(ModelError):
                tflite_file.load(self.networks[kind]).run(np.zeros((1, 9, 6, 3), np.uint8))

    @parameterized.parameters(
        ("retrain_metadata.json", b"{", "metadata cannot be read"),
        ("labels.txt", b"gr\xfcn\n", "labels.txt is not a text file in UTF-8"),
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

    @parameterized.parameters(float("nan"), float("inf"), 1e-38, -1.0)
    def test_a_scale_that_cannot_be_applied_is_refused(self, scale: float):
        network = tflite_models.identity((1, 2, 2, 3), "uint8", scale=scale)
        with self.assertRaisesRegex(ModelError, "have the scale .* which cannot be used"):
            tflite_file.load(network)

    def test_a_network_of_very_large_images_is_refused(self):
        network = tflite_models.identity((1, 10_001, 1, 3))
        with self.assertRaisesRegex(ModelError, "images of 10,001 x 1 pixels, more than the limit"):
            tflite_file.load(network)

    def test_a_network_whose_weights_are_in_another_file_is_refused(self):
        from ai_edge_litert import schema_py_generated as schema

        model = schema.ModelT.InitFromPackedBuf(tflite_models.identity((1, 2, 2, 3)))
        group = schema.ExternalBufferGroupT()
        group.name = "/tmp/other"
        model.externalBufferGroups = [group]
        builder = flatbuffers.Builder()
        builder.Finish(model.Pack(builder), b"TFL3")
        with self.assertRaisesRegex(ModelError, "its weights are in other files"):
            tflite_file.load(bytes(builder.Output()))

    def test_a_cut_file_is_an_error(self):
        with self.assertRaises(ModelError):
            tflite_file.load(self.networks["float32"][:200])

    def test_tflite_files_are_recognised_by_their_beginning(self):
        self.assertTrue(tflite_file.is_tflite(self.networks["int8"][:8]))
        for content in (b"", b"TFL3", b"\x0a\x40\x0a\x13Decode"):
            self.assertFalse(tflite_file.is_tflite(content))


class OtherProgramsTest(parameterized.TestCase):
    """Files with the TFLite metadata of other programs.

    The networks return their input, so the scores are the normalised pixels.
    """

    colour = np.array([[[[220, 30, 40]]]], np.uint8)

    def load(
        self, *normalizations, dtype="float32", scale=0.0, zero_point=0, overrides=NO_OVERRIDES
    ) -> Runtime:
        network = tflite_models.identity((1, 1, 1, 3), dtype, scale=scale, zero_point=zero_point)
        content = tflite_models.with_tflite_metadata(network, normalizations=normalizations)
        return tflite_file.load(content, overrides=overrides)

    @parameterized.parameters(
        ([127.5], [127.5]),
        ([127.5] * 3, [127.5] * 3),
        ([123.675, 116.28, 103.53], [58.395, 57.12, 57.375]),
        ([103.939, 116.779, 123.68], [1.0]),
        ([0.0], [1.0]),
    )
    def test_pixels_are_normalised_as_the_metadata_state(self, mean, std):
        runtime = self.load((mean, std))
        expected = (self.colour - np.float32(mean)) / np.float32(std)
        np.testing.assert_allclose(runtime.run(self.colour), expected.reshape(1, 3), rtol=1e-5)
        self.assertIsNone(runtime.description.assumption)

    def test_steps_of_the_normalisation_follow_each_other(self):
        runtime = self.load(([0.0], [255.0]), ([0.5, 0.4, 0.3], [0.25]))
        expected = (self.colour / 255 - np.array([0.5, 0.4, 0.3])) / 0.25
        np.testing.assert_allclose(runtime.run(self.colour), expected.reshape(1, 3), rtol=1e-5)

    def test_overrides_win(self):
        runtime = self.load(([1.0], [2.0]), overrides=NetworkOverrides(mean=20, std=10))
        np.testing.assert_allclose(runtime.run(self.colour), [[20, 1, 2]], rtol=1e-6)

    @parameterized.parameters(("uint8", 128), ("int8", 0))
    def test_normalised_pixels_are_quantised_like_the_input(self, dtype: str, zero_point: int):
        mean, std, scale = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375], 0.02
        runtime = self.load((mean, std), dtype=dtype, scale=scale, zero_point=zero_point)
        expected = (self.colour - np.array(mean)) / np.array(std)
        found = runtime.run(self.colour)
        np.testing.assert_allclose(found, expected.reshape(1, 3), atol=0.6 * scale)

    @parameterized.parameters(("uint8", 0), ("int8", -128))
    def test_a_normalisation_that_is_not_that_of_a_quantised_input_is_named(self, dtype, zero):
        # Metadata writers copy the normalisation of the float32 network to files that take pixels.
        runtime = self.load(([127.5], [127.5]), dtype=dtype, scale=1.0, zero_point=zero)
        np.testing.assert_array_equal(runtime.run(self.colour), self.colour.reshape(1, 3))
        self.assertIn("is not that of its input", runtime.description.assumption)

    def test_bytes_without_quantisation_are_pixels(self):
        runtime = self.load(([127.5], [127.5]), dtype="uint8")
        np.testing.assert_array_equal(runtime.run(self.colour), self.colour.reshape(1, 3))
        self.assertIsNone(runtime.description.assumption)

    @parameterized.parameters(
        ([3e38], [1e-38], "a normalisation with .* cannot be used"),
        ([1.0, 2.0], [1.0], "2 values of mean instead of 1 or 3"),
        ([1.0], [], "0 values of std"),
        ([1.0], [0.0], "std of 0"),
        ([1.0], [1.0, 0.0, 1.0], "std of 1, 0, 1"),
        ([float("nan")], [1.0], "mean of nan"),
    )
    def test_a_normalisation_that_cannot_be_applied_is_refused(self, mean, std, message):
        with self.assertRaisesRegex(MetadataError, message):
            self.load((mean, std))

    @parameterized.parameters("labels.txt", "labelmap.txt", "labels_en.csv", "sorted/Etiketten.lst")
    def test_labels_are_in_the_file_that_the_metadata_name(self, name: str):
        network = tflite_models.with_tflite_metadata(
            tflite_models.identity((1, 1, 1, 3)),
            files=[("readme.txt", 1), (name, 2), ("labels_de.txt", 2)],
        )
        files = {"readme.txt": "text\n", "labels_de.txt": "rot\ngr\u00fcn\nblau\n"}
        content = _append_files(network, {**files, name: "\ufeffred\r\ngreen\r\nblue\r\n\r\n"})
        self.assertEqual(tflite_file.load(content).description.labels, _LABELS)

    def test_a_named_file_that_does_not_exist_has_no_labels(self):
        network = tflite_models.with_tflite_metadata(
            tflite_models.identity((1, 1, 1, 3)), files=[("labelmap.txt", 2)]
        )
        for content in (network, _append_files(network, {"other.txt": "a\nb\nc\n"})):
            self.assertIsNone(tflite_file.load(content).description.labels)

    def test_an_empty_label_is_refused(self):
        network = tflite_models.with_tflite_metadata(
            tflite_models.identity((1, 1, 1, 3)), files=[("map.txt", 2)]
        )
        with self.assertRaisesRegex(MetadataError, "its map.txt has an empty label in line 2"):
            tflite_file.load(_append_files(network, {"map.txt": "a\n\nc\n"}))

    def test_metadata_of_this_program_take_precedence(self):
        network = tflite_models.with_tflite_metadata(
            tflite_models.identity((1, 1, 1, 3)),
            normalizations=[([1.0], [2.0])],
            files=[("map.txt", 2)],
        )
        ours = _metadata(mean=(20.0,) * 3, std=(10.0,) * 3)
        files = {"map.txt": "a\nb\nc\n", "retrain_metadata.json": ours}
        runtime = tflite_file.load(_append_files(network, files))
        self.assertEqual(runtime.description.labels, _LABELS)
        np.testing.assert_allclose(runtime.run(self.colour), [[20, 1, 2]], rtol=1e-6)

    def test_damaged_metadata_are_an_error_and_never_another_exception(self):
        rng = np.random.default_rng(0)
        network = tflite_models.identity((1, 1, 1, 3))
        described = tflite_models.with_tflite_metadata(
            network, normalizations=[([1.0], [2.0])], files=[("map.txt", 2)]
        )
        start = described.index(b"M001") - 4
        refused = 0
        for _ in range(300):
            content = bytearray(described)
            content[start + rng.integers(0, 200)] = rng.integers(0, 256)
            try:
                tflite_description.read(bytes(content))
            except MetadataError:
                refused += 1
        self.assertGreater(refused, 20)
        other = tflite_models.with_buffer(network, "TFLITE_METADATA", b"\0" * 20)
        with self.assertRaisesRegex(MetadataError, "they have another format"):
            tflite_file.load(other)


if __name__ == "__main__":
    absltest.main()
