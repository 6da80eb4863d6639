"""Programs do not show the warnings of libraries, which have paths of the libraries' code."""

import io
import re
import shutil
import signal
import struct
import tempfile
import warnings
from pathlib import Path

import numpy as np
from absl.testing import absltest
from PIL import Image

from tests.support import image_files, programs, server_process

# A directory that ends in its first entry.
_CUT_EXIF = b"Exif\0\0II*\0\x08\0\0\0\xff\x00\x12\x01\x03\0\x01\0\0\0"
# A directory whose second entry is missing.
_SHORT_EXIF = b"Exif\0\0II*\0\x08\0\0\0\x02\x00\x12\x01\x03\x00\x09\0\0\0\xff\xff\xff\x00"


def _files_with_warnings(image: Image.Image) -> dict[str, bytes]:
    """Returns image files that can be read, but that Pillow warns about."""
    png, jpeg = image_files.encode(image, "PNG"), image_files.encode(image, "JPEG")
    mpf = b"MPF\0II*\0\x08\0\0\0\x05\0garbage"
    animation = image_files.png_chunk(b"acTL", struct.pack(">II", 0, 0))
    alphas = bytes(range(0, 160, 10))
    return {
        "transparent.png": image_files.encode(image.quantize(16), "PNG", transparency=alphas),
        "animated.png": png[:33] + animation + png[33:],
        "exif.png": image_files.encode(image, "PNG", exif=_SHORT_EXIF),
        "cut_exif.jpg": image_files.encode(image, "JPEG", exif=_CUT_EXIF),
        "short_exif.jpg": image_files.encode(image, "JPEG", exif=_SHORT_EXIF),
        "several.jpg": jpeg[:2] + b"\xff\xe2" + struct.pack(">H", len(mpf) + 2) + mpf + jpeg[2:],
        "exif.webp": image_files.encode(image, "WEBP", exif=_CUT_EXIF),
    }


class LibraryWarningsTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        rng = np.random.default_rng(0)
        for split in ("train", "val"):
            for name, colour in programs.COLOURS.items():
                (cls.folder / split / name).mkdir(parents=True)
                for number in range(4):
                    noise = rng.integers(-30, 31, (48, 64, 3))
                    pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
                    files = _files_with_warnings(Image.fromarray(pixels))
                    for file, content in files.items():
                        (cls.folder / split / name / f"{number}_{file}").write_bytes(content)
        cls.images = sorted((cls.folder / "train").glob("*/*"))
        cls.trained = programs.run(
            "retrain",
            f"--image_dir={cls.folder}/train",
            f"--plots_dir={cls.folder}/plots",
            *programs.outputs(cls.folder),
        )

    def assert_no_warnings_of_libraries(self, text: str):
        for line in text.splitlines():
            self.assertNotRegex(line, r"\.py\b|-packages|[A-Za-z]Warning\b|warnings\.warn")

    def assert_quiet(self, done):
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assert_no_warnings_of_libraries(done.stdout)
        self.assert_no_warnings_of_libraries(done.stderr)

    def test_pillow_warns_about_each_of_the_images(self):
        pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
        for name, content in _files_with_warnings(Image.fromarray(pixels)).items():
            with self.subTest(name), self.assertWarns(UserWarning), warnings.catch_warnings():
                warnings.simplefilter("always")
                image = Image.open(io.BytesIO(content))
                image.getexif()
                image.convert("RGB")

    def test_retrain(self):
        self.assert_quiet(self.trained)

    def test_label_image(self):
        graph = f"--graph={self.folder}/graph.pb"
        self.assert_quiet(programs.run("label_image", graph, *self.images))

    def test_guess_dir(self):
        flags = (f"--graph={self.folder}/graph.pb", "--recursive")
        folders = (self.folder / "train", self.folder / "sorted")
        self.assert_quiet(programs.run("guess_dir", *flags, *folders))

    def test_train_keras(self):
        done = programs.run(
            "train_keras",
            *(f"--train_dir={self.folder}/train", f"--val_dir={self.folder}/val", "--epochs=1"),
            *(f"--output_dir={self.folder}/keras", "--architecture=cnn_malireddi"),
            f"--bottleneck_dir={self.folder}/keras_cache",
        )
        self.assert_quiet(done)

    def test_serve(self):
        with server_process.ServerProcess(self.folder / "graph.pb") as server:
            for path in self.images[:7]:
                body, kind = server_process.form((path.name, path.read_bytes()))
                response = server.request("POST", "/", body=body, Content_Type=kind)
                self.assertEqual(response.status, 200, response.body)
            _, log = server.end(signal.SIGTERM)
        self.assertTrue(re.search("^Serving ", log, re.MULTILINE), log)
        self.assert_no_warnings_of_libraries(log)


if __name__ == "__main__":
    absltest.main()
