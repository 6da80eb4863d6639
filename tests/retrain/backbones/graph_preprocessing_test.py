"""The decoder inside the graph produces the same pixels as `retrain.data.pixels`."""

import io
import os
import resource
import struct
import sys
import unittest
import zlib
from pathlib import Path

import numpy as np
from absl.testing import absltest, parameterized
from PIL import Image

from retrain.backbones import efficientnet_lite0
from retrain.data import pixels
from retrain.runtimes.graph_session import GraphSession
from retrain.runtimes.runtime import ModelError

_SIZES = [
    (1, 1),
    (3, 500),
    (100, 100),
    (224, 224),
    (225, 223),
    (640, 480),
    (1000, 900),
    (2000, 1800),
]


def _photo(width: int, height: int) -> Image.Image:
    rng = np.random.default_rng(width * height)
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = smooth + rng.integers(-12, 13, smooth.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _encode(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def _peak_memory() -> int:
    """Returns the largest amount of memory that this process has used, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _change(data: bytes, position: int, layout: str, *values: int) -> bytes:
    replacement = struct.pack(layout, *values)
    return data[:position] + replacement + data[position + len(replacement) :]


def _bmp(
    rows: np.ndarray,
    width: int,
    *,
    bits: int,
    masks: tuple[int, ...] = (),
    header_bytes: int = 40,
    from_top: bool = False,
    palette: bytes = b"",
) -> bytes:
    """Returns a BMP file with the bytes of its rows, from the top to the bottom."""
    height = len(rows)
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    body = (padded if from_top else padded[::-1]).tobytes()
    if header_bytes == 12:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        sides = (width, -height if from_top else height)
        fields = (1, bits, 3 if masks else 0, len(body), 0, 0, len(palette) // 4, 0)
        header = struct.pack("<IiiHHIIiiII", header_bytes, *sides, *fields)
        header += struct.pack(f"<{len(masks)}I", *masks)
        header = header.ljust(header_bytes, b"\0")
    start = 14 + len(header) + len(palette)
    return struct.pack("<2sIHHI", b"BM", start + len(body), 0, 0, start) + header + palette + body


def _chunk(kind: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _exif(
    orientation: int, *, order: str = "<", kind: int = 3, count: int = 1, others: int = 0
) -> bytes:
    """Returns an Exif block with some other entries before the orientation."""
    magic = b"II*\0" if order == "<" else b"MM\0*"
    head = magic + struct.pack(order + "IH", 8, others + 1)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 7)
    value = struct.pack(order + ("I" if kind == 4 else "HH"), *[orientation, 0][: 5 - kind])
    entry = struct.pack(order + "HHI", 0x0112, kind, count) + value
    return head + other * others + entry + bytes(4)


_MASKS = {
    "BGRX": (0xFF0000, 0xFF00, 0xFF, 0),
    "XBGR": (0xFF000000, 0xFF0000, 0xFF00, 0),
    "BGRA": (0xFF0000, 0xFF00, 0xFF, 0xFF000000),
    "RGBA": (0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    "ABGR": (0xFF000000, 0xFF0000, 0xFF00, 0xFF),
}


class GraphPixelsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.backbone = efficientnet_lite0.load()
        cls.session = GraphSession(cls.backbone.graph_file.read_bytes())

    def run_graph(self, data: bytes) -> np.ndarray:
        return self.session.run("Mul:0", {"DecodeJpeg/contents:0": data})

    def difference(self, data: bytes) -> np.ndarray:
        """Returns the absolute difference of each pixel, in units of 0 to 255."""
        expected = pixels.decode(data, 224, 224)
        normalised = self.run_graph(data)
        self.assertEqual(normalised.shape, (1, 224, 224, 3))
        actual = normalised[0] * np.float32(self.backbone.std) + np.float32(self.backbone.mean)
        return np.abs(actual - expected)

    def assert_same(self, data: bytes) -> None:
        # Pillow computes in 22-bit fixed point and TensorFlow in float32, so a few values are
        # rounded differently.
        difference = self.difference(data)
        self.assertLessEqual(difference.max(), 1.01)
        self.assertLess(difference.mean(), 0.05)

    @parameterized.product(size=_SIZES, file_format=["JPEG", "PNG"])
    def test_sizes(self, size: tuple[int, int], file_format: str):
        self.assert_same(_encode(_photo(*size), file_format))

    @parameterized.product(
        orientation=list(range(10)), file_format=["JPEG", "PNG"], order=["II", "MM"]
    )
    def test_exif_orientation(self, orientation: int, file_format: str, order: str):
        exif = Image.Exif()
        exif.endian = "<" if order == "II" else ">"
        exif[0x010F] = "a camera"
        exif[0x0112] = orientation
        self.assert_same(_encode(_photo(400, 300), file_format, exif=exif.tobytes()))

    @parameterized.parameters("L", "LA", "RGBA", "P", "1", "I;16")
    def test_modes_of_png(self, mode: str):
        image = _photo(300, 200)
        if mode == "I;16":
            wide = np.asarray(image.convert("L")).astype(np.uint16) * 257
            image = Image.fromarray(wide)
        else:
            image = image.convert(mode)
        self.assert_same(_encode(image, "PNG"))

    @parameterized.parameters("L", "CMYK")
    def test_modes_of_jpeg(self, mode: str):
        data = _encode(_photo(300, 200).convert(mode), "JPEG")
        self.assertLess(self.difference(data).mean(), 0.6)

    def test_progressive_jpeg(self):
        self.assert_same(_encode(_photo(700, 700), "JPEG", progressive=True))

    def test_bmp_and_first_frame_of_gif(self):
        self.assert_same(_encode(_photo(300, 200), "BMP"))
        frames = [_photo(300, 200).quantize(), _photo(300, 201).resize((300, 200)).quantize()]
        data = _encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
        self.assert_same(data)

    def transparent(self, mode: str) -> Image.Image:
        image = _photo(300, 200)
        image.putalpha(_photo(300, 200).transpose(Image.Transpose.ROTATE_180).convert("L"))
        return image.convert(mode)

    @parameterized.parameters("RGBA", "LA")
    def test_png_with_an_alpha_channel(self, mode: str):
        self.assert_same(_encode(self.transparent(mode), "PNG"))

    @parameterized.product(mode=["L", "RGB", "P", "1"], position=[(0, 0), (150, 100)])
    def test_png_with_a_transparent_colour(self, mode: str, position: tuple[int, int]):
        image = _photo(300, 200).quantize(12).convert(mode)
        transparency = image.getpixel(position)
        self.assert_same(_encode(image, "PNG", transparency=transparency))

    def test_png_with_alpha_of_each_colour_of_a_palette(self):
        image = _photo(300, 200).quantize(12)
        self.assert_same(_encode(image, "PNG", transparency=bytes(range(0, 240, 20))))

    @parameterized.parameters(None, 10, 12, 15)
    def test_png_with_significant_bits(self, bits: int | None):
        values = np.random.default_rng(0).integers(0, 1 << 12, (90, 80)).astype(np.uint16)
        data = _encode(Image.fromarray(values), "PNG")
        chunk = _chunk(b"sBIT", bytes([bits])) if bits else b""
        self.assert_same(data[:33] + chunk + data[33:])

    @parameterized.parameters("1", "L", "P", "RGB", "RGBA")
    def test_modes_of_bmp(self, mode: str):
        self.assert_same(_encode(self.transparent("RGBA").convert(mode), "BMP"))

    @parameterized.parameters(2, 11, 16, 200)
    def test_bmp_with_colours_of_a_palette(self, colours: int):
        self.assert_same(_encode(_photo(301, 200).quantize(colours), "BMP"))

    def test_bmp_from_top_to_bottom(self):
        rows = np.asarray(_photo(301, 200))[:, :, ::-1].reshape(200, -1)
        self.assert_same(_bmp(rows, 301, bits=24, from_top=True))

    def test_bmp_with_the_header_of_os2(self):
        image = np.asarray(_photo(301, 200))
        self.assert_same(_bmp(image[:, :, ::-1].reshape(200, -1), 301, bits=24, header_bytes=12))
        palette = np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes()
        data = _bmp(image[:, :, 0], 301, bits=8, header_bytes=12, palette=palette)
        self.assert_same(data)

    @parameterized.parameters(
        *((order, 124) for order in _MASKS),
        # This header has no mask for alpha.
        *((order, 40) for order in _MASKS if "A" not in order),
    )
    def test_bmp_with_32_bits(self, order: str, header_bytes: int):
        image = np.asarray(self.transparent("RGBA"))
        # Masks describe numbers, whose lowest byte comes first.
        channels = ["RGBA".index(channel.replace("X", "A")) for channel in order]
        rows = image[:, :, channels].reshape(200, -1)
        masks = _MASKS[order][: 3 if header_bytes == 40 else 4]
        self.assert_same(_bmp(rows, 300, bits=32, masks=masks, header_bytes=header_bytes))

    def test_bmp_with_zeros_in_place_of_alpha(self):
        image = np.asarray(_photo(300, 200))[:, :, ::-1]
        rows = np.dstack([image, np.zeros((200, 300), np.uint8)]).reshape(200, -1)
        self.assert_same(_bmp(rows, 300, bits=32))
        self.assert_same(_bmp(rows, 300, bits=32, masks=_MASKS["BGRA"], header_bytes=124))

    @parameterized.parameters([[()], [(0xF800, 0x07E0, 0x001F)], [(0x7C00, 0x03E0, 0x001F)]])
    def test_bmp_with_16_bits(self, masks: tuple[int, ...]):
        values = np.random.default_rng(0).integers(0, 1 << 16, (200, 301)).astype("<u2")
        self.assert_same(_bmp(values.view(np.uint8), 301, bits=16, masks=masks))

    def test_other_bmp_files_are_refused(self):
        rows = np.zeros((20, 40), np.uint8)
        compressed = _change(_encode(_photo(30, 20).quantize(9), "BMP"), 30, "<I", 1)
        cases = {
            "only BMP files without compression": compressed,
            "colour masks": _bmp(rows, 20, bits=16, masks=(0xF00, 0xF0, 0xF)),
            "cut off": _encode(_photo(30, 20), "BMP")[:900],
        }
        for message, data in cases.items():
            with self.subTest(message), self.assertRaisesRegex(ModelError, message):
                self.run_graph(data)

    @parameterized.product(interlace=[0, 1], transparency=[None, 0, 7], size=[None, (400, 310)])
    def test_gif(self, interlace: int, transparency: int | None, size: tuple[int, int] | None):
        options = {} if transparency is None else {"transparency": transparency}
        image = _photo(300, 200).quantize(9)
        data = _encode(image, "GIF", interlace=interlace, comment=b"a" * 999, **options)
        if size:  # The screen is larger than the first frame.
            data = _change(data, 6, "<HH", *size)
        self.assert_same(data)

    def test_gif_whose_frame_exceeds_the_screen(self):
        self.assert_same(_change(_encode(_photo(300, 200).quantize(9), "GIF"), 6, "<HH", 250, 90))

    def test_gif_without_a_frame_is_refused(self):
        with self.assertRaisesRegex(ModelError, "contains no image"):
            self.run_graph(_encode(_photo(30, 20).quantize(9), "GIF")[:40] + b";")

    def test_too_many_pixels_are_refused_before_they_are_decoded(self):
        gif = _change(_encode(_photo(30, 20).quantize(9), "GIF"), 6, "<HH", 30000, 30000)
        png = _change(_encode(_photo(30, 20), "PNG"), 16, ">II", 30000, 30000)
        bmp = _change(_encode(_photo(30, 20), "BMP"), 18, "<ii", 30000, -30000)
        for data in (gif, png, bmp):
            with self.assertRaisesRegex(ModelError, "more than the maximum of 200,000,000 pixels"):
                self.run_graph(data)

    @parameterized.parameters(
        _exif(6, others=300),
        _exif(6, order=">", others=3),
        _exif(6, kind=4),
        _exif(6, kind=4, order=">"),
        _exif(6, count=2),
        _exif(6, others=2)[:-20],
        b"II*\0",
        b"",
    )
    def test_exif_blocks(self, block: bytes):
        jpeg, png = (_encode(_photo(80, 60), name) for name in ("JPEG", "PNG"))
        self.assert_same(png[:33] + _chunk(b"eXIf", block) + png[33:])
        self.assert_same(jpeg[:2] + _segment(0xE1, b"Exif\0\0" + block) + jpeg[2:])

    def test_exif_blocks_at_other_places(self):
        png, jpeg = _encode(_photo(80, 60), "PNG"), _encode(_photo(80, 60), "JPEG")
        chunk, block = _chunk(b"eXIf", _exif(6)), b"Exif\0\0" + _exif(6)
        end = png.rindex(b"IEND") - 4
        files = {
            "after the pixels": png[:end] + chunk + png[end:],
            "with a wrong checksum": png[:33] + chunk[:-1] + bytes([chunk[-1] ^ 1]) + png[33:],
            "in other data": png[:33] + _chunk(b"prIv", b"eXIf" + _exif(6)) + png[33:],
            "after other chunks": png[:33] + _chunk(b"tEXt", b"a\0b") + chunk + png[33:],
            "in a second segment": jpeg[:2]
            + _segment(0xE1, b"http://")
            + _segment(0xE1, block)
            + jpeg[2:],
            "in a segment of another kind": jpeg[:2] + _segment(0xE2, block) + jpeg[2:],
            "after bytes that fill": jpeg[:2] + b"\xff\xff" + _segment(0xE1, block) + jpeg[2:],
            "before another one": jpeg[:2]
            + _segment(0xE1, b"Exif\0\0")
            + _segment(0xE1, block)
            + jpeg[2:],
        }
        for name, data in files.items():
            with self.subTest(name):
                self.assert_same(data)

    @parameterized.parameters((1, 400_000), (400_000, 1), (3, 900), (900, 3))
    def test_narrow_images_take_little_memory(self, width: int, height: int):
        data = _encode(Image.new("RGB", (width, height), "red"), "PNG")
        self.difference(_encode(_photo(9, 9), "PNG"))
        before = _peak_memory()
        self.assert_same(data)
        # With rows first, the image between the two passes alone would take a gigabyte.
        self.assertLess(_peak_memory() - before, 300 << 20)

    @unittest.skipUnless("RETRAIN_DATA" in os.environ, "RETRAIN_DATA does not name a folder")
    def test_real_photos(self):
        data = Path(os.environ["RETRAIN_DATA"])
        heroes = sorted(data.glob("heroes/train/*/*"))[::10]
        signs = sorted(data.glob("signs/*/*"))[::40]
        self.assertGreater(len(heroes) + len(signs), 80)
        for photo in heroes + signs:
            with self.subTest(photo.name):
                self.assert_same(photo.read_bytes())


if __name__ == "__main__":
    absltest.main()
