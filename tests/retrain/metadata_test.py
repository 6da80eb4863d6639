"""Tests that metadata is written to JSON and read back, from this and from earlier versions."""

import dataclasses
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

    def test_optional_fields_are_in_the_json_only_with_a_value(self):
        self.assertNotIn("familiarity", json.loads(_METADATA.to_json()))
        with_value = dataclasses.replace(_METADATA, familiarity={"rank": 1})
        self.assertEqual(metadata.from_json(with_value.to_json()), with_value)
        null = {**json.loads(_METADATA.to_json()), "familiarity": None}
        self.assertEqual(metadata.from_json(json.dumps(null)), _METADATA)

    def test_earlier_versions_refuse_files_whose_images_are_not_stretched(self):
        self.assertEqual(metadata.from_json(_VERSION_1_0).fit, metadata.STRETCH)
        self.assertEqual(json.loads(_METADATA.to_json())["format_version"], 1)
        for fit in (metadata.CROP, metadata.PAD):
            fitted = dataclasses.replace(_METADATA, fit=fit)
            fields = json.loads(fitted.to_json())
            self.assertEqual((fields["format_version"], fields["fit"]), (2, fit))
            self.assertEqual(metadata.from_json(fitted.to_json()), fitted)

    def test_fields_of_a_later_version_are_ignored(self):
        text = json.dumps({**json.loads(_METADATA.to_json()), "later_field": 1})
        self.assertEqual(metadata.from_json(text), _METADATA)

    def test_later_format_is_rejected(self):
        fields = {**json.loads(_METADATA.to_json()), "format_version": 99}
        with self.assertRaisesRegex(metadata.MetadataError, "format 99.*formats up to 2"):
            metadata.from_json(json.dumps(fields))

    @parameterized.parameters("", "[]", "3", "{}", '{"format_version": 1}', "\ud800")
    def test_other_text_is_rejected(self, text: str):
        with self.assertRaisesRegex(metadata.MetadataError, "metadata cannot be read"):
            metadata.from_json(text)

    @parameterized.parameters(
        ("fit", "squeeze"),
        ("fit", None),
        ("fit", ["crop"]),
        ("labels", 3),
        ("labels", "red"),
        ("labels", []),
        ("labels", [1, 2]),
        ("labels", [["red"]]),
        ("labels", ["\ud800"]),
        ("labels", ["x" * 1001]),
        ("labels", ["x"] * 100_001),
        ("folders", None),
        ("height", 0),
        ("height", -1),
        ("height", 10**9),
        ("height", True),
        ("width", 224.0),
        ("width", "224"),
        ("mean", "abc"),
        ("mean", [1, 2]),
        ("mean", [1, 2, "3"]),
        ("mean", [1e31, 0, 0]),
        ("std", [1, 1, 0]),
        ("std", [1, 1, -1]),
        ("std", [1, 1, 1e-40]),
        ("std", [1, 1, False]),
        ("channel_order", "GBR"),
        ("channel_order", ["RGB"]),
        ("output", 3),
        ("output", "x" * 1001),
        ("backbone", {}),
        ("test_accuracy", 1.5),
        ("test_accuracy", "high"),
        ("split", []),
        ("training", "long"),
        ("versions", None),
    )
    def test_each_field_has_a_type_and_a_range(self, name: str, value: object):
        text = json.dumps({**json.loads(_METADATA.to_json()), name: value})
        with self.assertRaisesRegex(metadata.MetadataError, f"{name} is .*must be") as caught:
            metadata.from_json(text)
        self.assertLess(len(str(caught.exception)), 400)
        self.assertTrue(str(caught.exception).isprintable())

    @parameterized.parameters(
        "NaN", "Infinity", "-Infinity", "1e999", "[" * 10_000 + "]" * 10_000, "9" * 5000
    )
    def test_unusual_values_are_refused_anywhere(self, value: str):
        text = _METADATA.to_json()[:-1] + f', "later": {value}}}'
        with self.assertRaisesRegex(metadata.MetadataError, "metadata cannot be read"):
            metadata.from_json(text)

    def test_names_that_occur_twice_are_refused(self):
        text = _METADATA.to_json()[:-1] + ', "height": 3}'
        with self.assertRaisesRegex(metadata.MetadataError, "occurs twice"):
            metadata.from_json(text)

    @parameterized.parameters("1", None, True, 0, -1, 0.5)
    def test_the_format_is_a_number(self, version: object):
        fields = {**json.loads(_METADATA.to_json()), "format_version": version}
        with self.assertRaisesRegex(metadata.MetadataError, "format_version"):
            metadata.from_json(json.dumps(fields))

    def test_large_metadata_are_refused_before_they_are_parsed(self):
        with self.assertRaisesRegex(metadata.MetadataError, "8,000,001 bytes"):
            metadata.from_json("[" * 8_000_001)

    def test_a_thousand_classes_are_far_from_the_limits(self):
        names = tuple("ü" * 255 + str(number) for number in range(1000))
        many = dataclasses.replace(_METADATA, labels=names, folders=names)
        self.assertEqual(metadata.from_json(many.to_json()), many)
        # The name of a folder can contain bytes that are not text.
        odd = dataclasses.replace(_METADATA, folders=("\udcff", "b", "c"))
        self.assertEqual(metadata.from_json(odd.to_json()), odd)


class LabelsTextTest(absltest.TestCase):
    def test_one_label_per_line(self):
        self.assertEqual(metadata.labels_text(["red", "blue sky"]), "red\nblue sky\n")
        self.assertEqual(metadata.labels_text([]), "")


if __name__ == "__main__":
    absltest.main()
