"""Tests that classifiers are loaded from files of all kinds, the fastest way first."""

import hashlib
import os
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import efficientnet_lite0
from retrain.errors import UserError
from retrain.export import frozen_graph, keras_file, saved_model, tflite
from retrain.output_options import TFLiteOptions
from retrain.runtimes import classifier_file
from retrain.runtimes.function_runtime import FunctionRuntime
from retrain.runtimes.graph_def import parse_graph
from retrain.runtimes.graph_session import SessionRuntime
from retrain.runtimes.known_graph import KnownGraphRuntime
from retrain.runtimes.litert import LiteRTRuntime
from retrain.runtimes.runtime import NO_OVERRIDES, NetworkOverrides
from tests.support import sample_classifier


class ClassifierFileTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.classifier = sample_classifier.classifier()
        cls.images = sample_classifier.images(2)
        features = sample_classifier.features(cls.images)
        cls.expected = cls.classifier.head.probabilities(features)

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.graph = self.folder / "graph.pb"
        frozen_graph.write(self.graph, self.classifier)

    def types(self, path: Path, overrides: NetworkOverrides = NO_OVERRIDES) -> list[type]:
        runtimes = list(
            classifier_file.load_all(path, efficientnet_lite0.find, overrides=overrides)
        )
        for runtime in runtimes:
            np.testing.assert_allclose(runtime.run(self.images), self.expected, atol=1e-4)
        loaded = classifier_file.load(path, efficientnet_lite0.find, overrides=overrides)
        self.assertIs(type(loaded), type(runtimes[0]))
        return [type(runtime) for runtime in runtimes]

    def test_a_graph_with_a_known_backbone_runs_in_two_ways(self):
        self.assertEqual(self.types(self.graph), [KnownGraphRuntime, SessionRuntime])

    def test_only_a_session_starts_or_ends_at_a_given_tensor(self):
        for overrides in (
            NetworkOverrides(input_layer="input"),
            NetworkOverrides(output_layer="final_result"),
        ):
            self.assertEqual(self.types(self.graph, overrides), [SessionRuntime])

    def test_only_a_session_runs_an_unknown_backbone(self):
        runtimes = list(classifier_file.load_all(self.graph, lambda name: None))
        self.assertEqual([type(runtime) for runtime in runtimes], [SessionRuntime])

    def test_a_tflite_file_runs_in_litert(self):
        path = self.folder / "model.tflite"
        tflite.write(path, self.classifier, TFLiteOptions())
        self.assertEqual(self.types(path), [LiteRTRuntime])
        for flag in ("input_layer", "output_layer"):
            with self.assertRaisesRegex(UserError, f"--{flag}=x .* is a TFLite file; leave"):
                self.types(path, NetworkOverrides(**{flag: "x"}))

    def test_keras_files_and_saved_models_run_in_their_libraries(self):
        path, folder = self.folder / "model.keras", self.folder / "saved"
        keras_file.write(path, self.classifier)
        saved_model.write(folder, self.classifier)
        for model in (path, folder):
            self.assertEqual(self.types(model), [FunctionRuntime])
            for flag in ("input_layer", "output_layer", "mean", "std"):
                name = flag if flag.endswith("layer") else f"input_{flag}"
                with self.assertRaisesRegex(UserError, f"^--{name}=0 .*; leave the flag out$"):
                    self.types(model, NetworkOverrides(**{flag: 0}))

    def test_a_missing_file_is_a_users_error(self):
        path = self.folder / "none.pb"
        with self.assertRaisesRegex(UserError, f"--graph={path} cannot be read: No such file"):
            classifier_file.load(path, efficientnet_lite0.find)

    def test_another_folder_is_a_users_error(self):
        with self.assertRaisesRegex(UserError, f"^--graph={self.folder} is not .*a SavedModel; "):
            classifier_file.load(self.folder, efficientnet_lite0.find)

    def test_core_ml_models_are_a_users_error(self):
        path, folder = self.folder / "model.mlmodel", self.folder / "model.mlpackage"
        path.write_bytes(b"any")
        folder.mkdir()
        for model in (path, folder):
            with self.assertRaisesRegex(UserError, f"^--graph={model} is a Core ML model, "):
                classifier_file.load(model, efficientnet_lite0.find)

    def test_pipes_and_devices_are_refused_at_once(self):
        pipe = self.folder / "pipe.pb"
        os.mkfifo(pipe)
        for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device")):
            with self.assertRaisesRegex(UserError, f"--graph={path} cannot be read: it is {kind}"):
                classifier_file.load(path, efficientnet_lite0.find)

    @parameterized.parameters(b"", b"text\n", b"\x00\xff" * 500, b"\0\0\0\0TFL3" + bytes(90))
    def test_other_files_are_a_users_error(self, content: bytes):
        path = self.folder / "other"
        path.write_bytes(content)
        with self.assertRaisesRegex(UserError, rf"\A--graph={path} is not a classifier .*\Z"):
            classifier_file.load(path, efficientnet_lite0.find)

    def test_a_graph_that_can_write_files_is_not_run_unless_it_is_trusted(self):
        graph = parse_graph(self.graph.read_bytes())
        graph.node.add(op="WriteFile", name="w", input=["DecodeJpeg/contents"] * 2)
        path = self.folder / "evil.pb"
        path.write_bytes(graph.SerializeToString())
        reason = rf"^--graph={path} is not run: .*WriteFile \(w\).*--trust_model"
        with self.assertRaisesRegex(UserError, reason):
            classifier_file.load(path, efficientnet_lite0.find)
        for find_backbone in (efficientnet_lite0.find, lambda name: None):
            trusted = NetworkOverrides(trust_model=True)
            classifier_file.load(path, find_backbone, overrides=trusted).close()

    def test_damaged_metadata_are_a_users_error(self):
        content = self.graph.read_bytes().replace(
            b'{"format_version": 1,', b'{"format_version": x,'
        )
        self.graph.write_bytes(content)
        with self.assertRaisesRegex(UserError, "its metadata cannot be read"):
            classifier_file.load(self.graph, efficientnet_lite0.find)

    def test_a_digest_identifies_the_content(self):
        self.assertEqual(
            classifier_file.digest(self.graph), hashlib.sha256(self.graph.read_bytes()).hexdigest()
        )
        one, other = self.folder / "one", self.folder / "other"
        for folder in (one, other):
            (folder / "variables").mkdir(parents=True)
            for name in ("saved_model.pb", "variables/data"):
                (folder / name).write_text(name)
        self.assertEqual(classifier_file.digest(one), classifier_file.digest(other))
        (other / "variables/data").write_text("x")
        self.assertNotEqual(classifier_file.digest(one), classifier_file.digest(other))
        (other / "variables/data").rename(other / "data")
        (one / "variables/data").write_text("x")
        self.assertNotEqual(classifier_file.digest(one), classifier_file.digest(other))


if __name__ == "__main__":
    absltest.main()
