"""Weights are read from all kinds of files that Keras wrote."""

import zipfile
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized

from retrain.backbones import keras_weights
from tests.support import keras_weights_files as files

_NAME = "mobilenet_0.25_128"


class KerasWeightsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.source = files.build_model(_NAME)
        cls.target = files.build_model(_NAME, seed=1)

    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.target.set_weights([np.zeros_like(w) for w in self.source.get_weights()])

    def assert_loads(self, path):
        self.assertEqual(keras_weights.count_parameters(path), self.source.count_params())
        keras_weights.load(self.target, path)
        for actual, expected in zip(
            self.target.get_weights(), self.source.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(actual, expected)

    def test_weights_of_keras_3(self):
        self.assert_loads(files.write_weights(self.folder / "a.weights.h5", self.source))

    def test_weights_of_keras_2(self):
        self.assert_loads(files.write_legacy_weights(self.folder / "a.h5", self.source))

    def test_a_whole_model_of_keras_2(self):
        self.assert_loads(files.write_model(self.folder / "a.h5", self.source))

    def test_a_whole_model_of_keras_3(self):
        self.assert_loads(files.write_model(self.folder / "a.keras", self.source))

    def test_the_state_of_an_optimiser_is_ignored(self):
        self.source.compile("adam")
        self.source.optimizer.build(self.source.trainable_variables)
        self.assert_loads(files.write_weights(self.folder / "a.weights.h5", self.source))
        self.assert_loads(files.write_model(self.folder / "a.h5", self.source))

    def test_the_file_name_does_not_matter(self):
        for number, path in enumerate(
            (
                files.write_weights(self.folder / "a.weights.h5", self.source),
                files.write_legacy_weights(self.folder / "b.h5", self.source),
                files.write_model(self.folder / "c.keras", self.source),
            )
        ):
            self.assert_loads(path.rename(self.folder / f"download ({number})"))

    def test_weights_of_another_network_are_refused(self):
        other = files.build_model("mobilenet_0.50_128")
        for path in (
            files.write_weights(self.folder / "a.weights.h5", other),
            files.write_legacy_weights(self.folder / "b.h5", other),
        ):
            with self.assertRaises(keras_weights.WeightsError):
                keras_weights.load(self.target, path)

    def test_a_file_without_one_of_the_weights_is_refused(self):
        import h5py

        path = files.write_weights(self.folder / "a.weights.h5", self.source)
        with h5py.File(path, "a") as file:
            layers = file["layers"]
            del layers["conv2d"]["vars"]["0"]
        with self.assertRaises(keras_weights.WeightsError):
            keras_weights.load(self.target, path)

    def test_weights_that_are_not_finite_are_refused(self):
        broken = files.build_model(_NAME)
        weights = broken.get_weights()
        weights[3][0] = np.nan
        broken.set_weights(weights)
        with self.assertRaisesRegex(keras_weights.WeightsError, "not finite"):
            keras_weights.load(
                self.target, files.write_weights(self.folder / "a.weights.h5", broken)
            )

    def test_weights_that_are_somewhere_else_are_refused(self):
        import h5py

        other = self.folder / "other.bin"
        other.write_bytes(bytes(400))
        for kind in ("external link", "soft link", "external data", "virtual data"):
            path = self.folder / f"{kind}.h5"
            with h5py.File(path, "w") as file:
                if kind == "external link":
                    file["w"] = h5py.ExternalLink(str(other), "/")
                elif kind == "soft link":
                    file["w"] = h5py.SoftLink("/elsewhere")
                elif kind == "external data":
                    file.create_dataset("w", (100,), "f4", external=[(str(other), 0, 400)])
                else:
                    layout = h5py.VirtualLayout((100,), "f4")
                    layout[:] = h5py.VirtualSource(str(other), "w", (100,))
                    file.create_virtual_dataset("w", layout)
            with self.assertRaisesRegex(keras_weights.WeightsError, "w refers to data somewhere"):
                keras_weights.count_parameters(path)

    def test_a_file_cannot_state_more_weights_than_it_can_hold(self):
        import h5py

        path = self.folder / "sparse.h5"
        with h5py.File(path, "w") as file:
            file.create_dataset("w", (10**6, 10**6), "f4", chunks=(1000, 1000))
            file["again"] = file["w"]
            file["loop"] = file["/"]
        self.assertLess(path.stat().st_size, 10_000)
        with self.assertRaisesRegex(keras_weights.WeightsError, "state more than 50,000,000 bytes"):
            keras_weights.count_parameters(path)

    def test_an_archive_cannot_hold_more_weights_than_its_size_allows(self):
        path = self.folder / "bomb.keras"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("model.weights.h5", bytes(60_000_000))
        with self.assertRaisesRegex(keras_weights.WeightsError, "unpack to more than"):
            keras_weights.count_parameters(path)

    def test_other_files_are_refused(self):
        text, archive, cut = (self.folder / name for name in ("text.h5", "a.keras", "cut.h5"))
        text.write_text("<html>not found</html>")
        with zipfile.ZipFile(archive, "w") as file:
            file.writestr("config.json", "{}")
        whole = files.write_legacy_weights(self.folder / "whole.h5", self.source).read_bytes()
        cut.write_bytes(whole[: len(whole) // 2])
        for path, reason in (
            (text, "not an HDF5 file"),
            (archive, "without model.weights.h5"),
            (cut, "not an HDF5 file"),
        ):
            with self.assertRaisesRegex(keras_weights.WeightsError, reason):
                keras_weights.count_parameters(path)
        with self.assertRaises(FileNotFoundError):
            keras_weights.count_parameters(self.folder / "none.h5")


if __name__ == "__main__":
    absltest.main()
