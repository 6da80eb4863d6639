"""Tests that metadata is written to JSON and read back, from this and from earlier versions."""

import json

from absl.testing import absltest, parameterized

from retrain import metadata

_METADATA = metadata.Metadata(
    labels=("red", "grün", "blue sky"),
    folders=("Red", "Grün", "Blue_Sky"),
    height=224,
    width=160,
    mean=(123.675, 116.28, 103.53),
    std=(58.395, 57.12, 57.375),
    channel_order="BGR",
    resize_method="area",
    output="final_result",
    backbone="efficientnet_lite0",
    fingerprint="0123",
    split={"by": "name", "images": {"training": 8, "validation": 1, "test": 1}},
    test_accuracy=None,
    training={"engine": "float32"},
    versions={"retrain": "1.1.0"},
)

# Metadata as version 1.0 wrote it.
_VERSION_1_0 = """{"format_version": 1, "labels": ["a", "b"], "folders": ["A", "B"], "height": 224,
"width": 224, "mean": [127.0, 127.0, 127.0], "std": [128.0, 128.0, 128.0], "channel_order": "RGB",
"resize_method": "area", "output": "final_result", "backbone": "efficientnet_lite0",
"fingerprint": "89ab", "split": {"by": "content", "pictures": {"training": 8, "validation": 1,
"test": 1}}, "test_accuracy": 0.9, "training": {"engine": "bfloat16"},
"versions": {"preprocessing": 2, "numpy": "2.2.6"}}"""


class MetadataTest(parameterized.TestCase):
    def test_json_can_be_read_back(self):
        text = _METADATA.to_json()
        self.assertNotIn("\n", text)
        self.assertEqual(metadata.from_json(text), _METADATA)
        self.assertEqual(metadata.from_json(text.encode()), _METADATA)

    def test_metadata_of_version_1_0(self):
        parsed = metadata.from_json(_VERSION_1_0)
        self.assertEqual((parsed.labels, parsed.folders), (("a", "b"), ("A", "B")))
        self.assertEqual((parsed.mean, parsed.std), ((127.0,) * 3, (128.0,) * 3))
        self.assertEqual(parsed.split["pictures"]["training"], 8)
        self.assertEqual(metadata.from_json(parsed.to_json()), parsed)

    def test_fields_of_a_later_version_are_ignored(self):
        text = json.dumps({**json.loads(_METADATA.to_json()), "later_field": 1})
        self.assertEqual(metadata.from_json(text), _METADATA)

    def test_later_format_is_rejected(self):
        fields = {**json.loads(_METADATA.to_json()), "format_version": 99}
        with self.assertRaisesRegex(metadata.MetadataError, "format 99.*formats up to 1"):
            metadata.from_json(json.dumps(fields))

    @parameterized.parameters("", "[]", "3", "{}", '{"format_version": 1}', "\ud800")
    def test_other_text_is_rejected(self, text: str):
        with self.assertRaisesRegex(metadata.MetadataError, "metadata cannot be read"):
            metadata.from_json(text)


class LabelsTextTest(absltest.TestCase):
    def test_one_label_per_line(self):
        self.assertEqual(metadata.labels_text(["red", "blue sky"]), "red\nblue sky\n")
        self.assertEqual(metadata.labels_text([]), "")


if __name__ == "__main__":
    absltest.main()
