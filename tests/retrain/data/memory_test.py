"""Tests that no image file needs more memory than the limit on its pixels allows."""

import struct
import sys
import tempfile
import unittest
from pathlib import Path

from absl.testing import absltest, parameterized
from PIL import Image
from pillow_heif import register_heif_opener

from retrain.data import pixels
from tests.support.image_files import encode, gif, png
from tests.support.python_code import run_python

# Pillow can then write HEIF files, too.
register_heif_opener()

# Prints what became of a file, and by how many bytes the peak memory grew.
_DECODE = """
import resource, sys
from pathlib import Path
from PIL import Image
from retrain.config import DistortionOptions
from retrain.data import distortions, pixels

MIB = 1 << 20
path, height, width, megabytes = Path(sys.argv[1]), *map(int, sys.argv[2:5])

def memory(field):
    (line,) = [l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith(field)]
    return int(line.split()[1]) << 10

# All modules are loaded before the measurement.
import io, pillow_heif
pillow_heif.register_heif_opener()
for name in "PNG", "JPEG", "GIF", "WEBP", "BMP", "AVIF", "HEIF":
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, name)
    pixels.decode(file.getvalue(), 64, 64)
data = path.read_bytes()
before = memory("VmHWM")
if megabytes:
    limit = memory("VmSize") + megabytes * MIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    if len(sys.argv) > 5:
        options = DistortionOptions(random_crop=10, random_scale=10)
        size = {"height": height, "width": width}
        list(distortions.decode_variants(data, [0, 1], options, digest=b"", **size))
    else:
        pixels.decode(data, height, width)
    print("decoded")
except pixels.UnreadableImageError as error:
    print(error)
print((memory("VmHWM") - before) // MIB)
"""


def _lies_about_its_size(file_format: str, width: int, height: int) -> bytes:
    """Returns a file of 64 x 64 pixels whose header states another size."""
    small = Image.new("RGB", (64, 64), "red")
    if file_format == "BMP":
        data = bytearray(encode(small, "BMP"))
        data[18:26] = struct.pack("<II", width, height)
    elif file_format == "JPEG":
        data = bytearray(encode(small, "JPEG"))
        size = data.index(b"\xff\xc0") + 5
        data[size : size + 4] = struct.pack(">HH", height, width)
    elif file_format == "WEBP":
        data = bytearray(encode(small, "WEBP"))
        data[26:30] = struct.pack("<HH", width, height)
    elif file_format == "WEBP lossless":
        data = bytearray(encode(small, "WEBP", lossless=True))
        data[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    elif file_format == "WEBP extended":
        data = bytearray(encode(small, "WEBP", exif=b"Exif\0\0II*\0"))
        sides = (struct.pack("<I", side - 1)[:3] for side in (width, height))
        data[24:30] = b"".join(sides)
    else:
        data = bytearray(encode(small, file_format))
        size = data.index(b"ispe") + 8
        data[size : size + 8] = struct.pack(">II", width, height)
    return bytes(data)


@unittest.skipUnless(sys.platform == "linux", "only Linux limits and reports memory like this")
class MemoryTest(parameterized.TestCase):
    def decode(
        self, data: bytes, size: tuple[int, int] = (224, 224), *, limit: int = 0, distorted=False
    ) -> tuple[str, int]:
        """Returns the outcome, and the growth of the peak memory in MiB.

        Args:
            data: Content of the file.
            size: Height and width of the result in pixels.
            limit: Memory in MiB that the process can use for it; 0 for any.
            distorted: Whether distorted variants are decoded as well.
        """
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "image")
            path.write_bytes(data)
            process = run_python(_DECODE, path, *size, limit, *(["distorted"] if distorted else []))
        self.assertEqual(process.returncode, 0, process.stderr)
        self.assertEmpty(process.stderr)
        outcome, growth = process.stdout.splitlines()
        return outcome, int(growth)

    @parameterized.parameters(
        ("BMP", 30_000, 30_000),
        ("JPEG", 65_000, 65_000),
        ("WEBP", 16_383, 16_383),
        ("WEBP lossless", 16_384, 16_384),
        ("WEBP extended", 1 << 24, 255),
        ("AVIF", 16_384, 16_384),
        ("HEIF", 16_384, 16_384),
    )
    def test_a_header_with_too_many_pixels_costs_nothing(self, file_format, width, height):
        outcome, growth = self.decode(_lies_about_its_size(file_format, width, height))
        self.assertEqual(
            outcome, f"it has {width} x {height} pixels, more than the maximum of 200,000,000"
        )
        self.assertLess(growth, 8)

    @parameterized.parameters(
        ((30_000, 30_000), 2, None),
        ((65_535, 65_535), 2, 0),
        ((65_535, 65_535), 3, 0),
        ((1, 1), 2, None),
        ((1, 1), 0, 0),
    )
    def test_a_gif_with_a_large_screen_or_frame_costs_nothing(self, screen, disposal, transparency):
        small = gif(screen, (0, 0, 9, 9), disposal=disposal, transparency=transparency)
        frame = small.index(b"\x2c", 19) + 5
        data = small[:frame] + struct.pack("<HH", 30_000, 30_000) + small[frame + 4 :]
        outcome, growth = self.decode(data)
        self.assertIn("more than the maximum", outcome)
        self.assertLess(growth, 8)

    def test_a_gif_is_not_read_past_its_first_frame(self):
        small = gif((9, 9), (0, 0, 9, 9))
        frame = small.index(b"\x2c", 19)
        second = bytearray(small[frame:])
        second[5:9] = struct.pack("<HH", 30_000, 30_000)
        outcome, growth = self.decode(small[:-1] + second)
        self.assertEqual(outcome, "decoded")
        self.assertLess(growth, 8)

    @parameterized.parameters((1, 2_000_000), (2_000_000, 1), (3, 1_000_000), (1_000_000, 3))
    def test_long_and_thin_images_take_memory_for_their_own_pixels_only(self, width, height):
        data = png(width, height, 8, 0, b"\x55")
        for distorted in (False, True):
            outcome, growth = self.decode(data, distorted=distorted)
            self.assertEqual(outcome, "decoded")
            # Pillow takes 4 bytes for each pixel, and 16 for each pixel of the side that shrinks.
            self.assertLess(growth, 100)

    @parameterized.parameters(
        {}, {"save_all": True, "append_images": [Image.new("RGB", (900, 700))]}
    )
    def test_av1_frames_larger_than_the_boxes_state_are_refused_before_decoding(self, **options):
        data = encode(Image.new("RGB", (900, 700)), "AVIF", speed=10, duration=50, **options)
        stated, less = (struct.pack(">II", *size) for size in ((900, 700), (64, 64)))
        self.assertIn(stated, data)
        with self.assertRaisesRegex(pixels.UnreadableImageError, "it has 900 x 700 pixels"):
            pixels.open_image(data.replace(stated, less), max_pixels=100_000)

    def test_a_side_that_is_too_long_is_refused(self):
        outcome, growth = self.decode(_lies_about_its_size("BMP", 1, 20_000_000))
        self.assertRegex(outcome, "1 x 20000000 pixels, and its longer side .* 12,500,000")
        self.assertLess(growth, 8)

    def test_transparent_images_take_memory_for_two_copies(self):
        outcome, growth = self.decode(png(4000, 4000, 8, 6, b"\x55\x55\x55\x7f"))
        self.assertEqual(outcome, "decoded")
        self.assertLess(growth, 2 * 4 * 16 + 40)

    @parameterized.parameters(False, True)
    def test_lack_of_memory_is_a_refusal_of_the_image(self, distorted):
        data = png(8000, 8000, 8, 2, b"\x55\x55\x55")
        outcome, _ = self.decode(data, limit=100, distorted=distorted)
        self.assertEqual(outcome, "it needs more memory than is available")

    def test_lack_of_memory_for_the_result_is_a_refusal_of_the_image(self):
        outcome, _ = self.decode(png(8, 8, 8, 2, b"\x55\x55\x55"), (8000, 8000), limit=100)
        self.assertEqual(outcome, "it needs more memory than is available")


if __name__ == "__main__":
    absltest.main()
