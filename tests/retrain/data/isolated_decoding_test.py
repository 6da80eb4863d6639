"""Tests that images of some formats are decoded in processes, which no image can keep busy."""

import dataclasses
import os
import signal
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.data import decoder_process, image_header, isolated_decoding, pixels, upright
from retrain.data.image_limits import DEFAULT_LIMITS, ImageLimits
from tests.support.hostile_images import boxed_with_lie
from tests.support.hostile_webp import lossless_webp_with_many_codes
from tests.support.image_files import encode, exif_block
from tests.support.python_code import run_python

_MEGABYTE = 1_000_000
# Decodes an image, prints the process that did it, and is ended without any chance to clean up.
_DECODE_AND_DIE = """
import os, signal, sys
from retrain.data import isolated_decoding, pixels
pixels.decode(bytes.fromhex(sys.argv[1]), 8, 8)
print(isolated_decoding._idle[0]._process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def _image(width: int = 40, height: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 4), np.uint8)
    return Image.fromarray(values)


def _webp(width: int = 40, height: int = 30) -> bytes:
    """Returns a file that is decoded in another process."""
    return encode(_image(width, height), "WEBP", lossless=True)


def _process() -> subprocess.Popen[bytes]:
    """Returns the idle process that decodes the next image."""
    return isolated_decoding._idle[-1]._process


def _is_running(process_id: int) -> bool:
    """Returns whether a process exists and is not only waiting to be collected."""
    try:
        status = Path(f"/proc/{process_id}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


class IsolatedDecodingTest(parameterized.TestCase):
    @parameterized.product(file_format=("WEBP", "AVIF", "HEIF"), version=(1, 2), orientation=(1, 6))
    def test_gives_the_same_pixels_as_this_process(self, file_format, version, orientation):
        exif = b"Exif\0\0" + exif_block(orientation)
        data = encode(_image(), file_format, exif=exif)
        here = upright.decode_parsed(
            image_header.parse(data, DEFAULT_LIMITS),
            9,
            8,
            preprocessing_version=version,
            limits=DEFAULT_LIMITS,
            warn=pixels.ignore_warning,
        )
        there = pixels.decode_upright(data, 9, 8, preprocessing_version=version)
        np.testing.assert_array_equal(np.asarray(there), np.asarray(here))
        resized = pixels.decode(data, 9, 8, preprocessing_version=version)
        np.testing.assert_array_equal(resized, pixels.resize(here, 9, 8))

    def test_an_image_that_takes_too_long_ends_the_process(self):
        data = boxed_with_lie("AVIF", (6000, 4000), speed=10)
        limits = dataclasses.replace(DEFAULT_LIMITS, seconds=0.01)
        with self.assertRaisesRegex(
            pixels.UnreadableImageError, "decoding it takes more than the maximum of 0.01 seconds"
        ):
            pixels.decode(data, 8, 8, limits=limits)
        self.assertEqual(pixels.decode(_webp(), 8, 8).shape, (8, 8, 3))

    @unittest.skipUnless(sys.platform == "linux", "only Linux limits the memory")
    def test_memory_that_the_header_does_not_tell_is_limited(self):
        data = lossless_webp_with_many_codes(65_536)
        limits = ImageLimits(memory_bytes=100 * _MEGABYTE)
        with self.assertRaises(pixels.UnreadableImageError):
            pixels.decode(data, 8, 8, limits=limits)
        # The limit is that of one image, and not of the process.
        self.assertEqual(pixels.decode(data, 8, 8).shape, (8, 8, 3))

    def test_a_program_that_blocks_the_signal_does_not_protect_the_process(self):
        code = """
import signal, sys
signal.signal(signal.SIGALRM, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
from retrain.data import pixels
from retrain.data.image_limits import ImageLimits
from tests.support.hostile_images import boxed_with_lie
try:
    pixels.decode(boxed_with_lie("AVIF", (6000, 4000)), 8, 8, limits=ImageLimits(seconds=0.01))
except pixels.UnreadableImageError as error:
    print(error)
"""
        self.assertIn("more than the maximum of 0.01 seconds", run_python(code).stdout)

    def test_a_process_that_was_ended_is_replaced(self):
        data = _webp()
        pixels.decode(data, 8, 8)
        _process().kill()
        _process().wait()
        self.assertEqual(pixels.decode(data, 8, 8).shape, (8, 8, 3))

    def test_pixels_that_do_not_fit_into_the_memory_are_refused_and_the_process_is_replaced(self):
        data = _webp()
        with (
            mock.patch.object(decoder_process, "read_message", side_effect=MemoryError),
            self.assertRaisesRegex(pixels.UnreadableImageError, "more memory than is available"),
        ):
            pixels.decode(data, 8, 8)
        self.assertEqual(pixels.decode(data, 8, 8).shape, (8, 8, 3))

    def test_processes_are_used_again_and_by_one_thread_at_a_time(self):
        sizes = [(40 + number, 30) for number in range(40)]
        files = [_webp(*size) for size in sizes]
        with ThreadPoolExecutor(4) as pool:
            images = pool.map(lambda data: pixels.decode_upright(data, 8, 8), files)
            self.assertEqual([image.size for image in images], sizes)
        self.assertLessEqual(len(isolated_decoding._idle), 4)

    def test_a_refusal_is_that_of_the_decoder(self):
        data = _webp()
        with self.assertRaisesRegex(pixels.UnreadableImageError, r"it is damaged \([^\n]+\)"):
            pixels.decode(data[: len(data) // 2], 8, 8)

    @unittest.skipUnless(sys.platform == "linux", "only Linux lists processes like this")
    def test_the_process_ends_with_its_parent(self):
        parent = run_python(_DECODE_AND_DIE, _webp().hex())
        self.assertEqual(parent.returncode, -signal.SIGKILL, parent.stderr)
        process_id = int(parent.stdout)
        deadline = time.monotonic() + 30
        while _is_running(process_id) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(_is_running(process_id))

    def test_ctrl_c_reaches_only_the_main_process(self):
        pixels.decode(_webp(), 8, 8)
        self.assertNotEqual(os.getpgid(_process().pid), os.getpgid(0))

    def test_modules_in_the_current_folder_are_not_run(self):
        code = """
import os, sys, tempfile
from pathlib import Path
from retrain.data import pixels
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    Path("retrain").mkdir()
    Path("json.py").write_text("open('run', 'w')")
    print(pixels.decode(bytes.fromhex(sys.argv[1]), 8, 8).shape, *sorted(os.listdir()))
"""
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        environment.pop("PYTHONSAFEPATH", None)
        process = run_python(code, _webp().hex(), env=environment)
        self.assertEqual(process.stdout, "(8, 8, 3) json.py retrain\n", process.stderr)

    def test_the_process_does_not_load_tensorflow(self):
        code = "import sys, retrain.data.decoder_process; print('tensorflow' in sys.modules)"
        self.assertEqual(run_python(code).stdout, "False\n")


if __name__ == "__main__":
    absltest.main()
