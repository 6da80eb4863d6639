"""Tests that forms are read within limits."""

import resource

from absl.testing import absltest, parameterized
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge

from tools.server.image_form import MAX_PARTS, read_files

_HEAD = b'Content-Disposition: form-data; name="image"; filename="%s"'


def _part(head: bytes, content: bytes = b"x") -> bytes:
    return b"--b\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def _read(body: bytes, boundary: str = "b") -> list[tuple[str, bytes]]:
    return list(read_files(body, boundary, "image"))


class ImageFormTest(parameterized.TestCase):
    def test_files_of_the_field_are_read(self):
        content = bytes(range(256)) * 1000 + b"\r\n--" + b"\r\n--c\r\n"
        parts = [
            _part(_HEAD % "é.jpg".encode(), content),
            _part(b'Content-Disposition: form-data; name="image"', b"not a file"),
            _part(b'Content-Disposition: form-data; name="other"; filename="a"', b"other field"),
            _part(_HEAD % b"", b""),
        ]
        body = b"before\r\n" + b"".join(parts) + b"--b--\r\nbehind" + bytes(100_000)
        self.assertEqual(_read(body), [("é.jpg", content), ("", b"")])

    def test_files_of_all_sizes_are_read_exactly(self):
        for size in (65_400, *range(65_440, 65_540)):
            content = b"\n" * size
            self.assertEqual(
                _read(_part(_HEAD % b"a", content) * 2 + b"--b--\r\n"), 2 * [("a", content)]
            )

    @parameterized.named_parameters(
        ("lines", _HEAD % b"a" + b"\r\nx:" * 50_000),
        ("file_name", _HEAD % (b"a" * 5000)),
        ("parameters", _HEAD % b"a" + b"; x=" * 5000),
    )
    def test_parts_with_long_headers_are_refused(self, head: bytes):
        for count in (1, 100):
            with self.assertRaisesRegex(RequestEntityTooLarge, "headers of part 1 "):
                _read(_part(head) * count + b"--b--\r\n")

    def test_headers_of_parts_take_little_memory(self):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        _read(_part(_HEAD % b"a" + b"\r\nx:" * 800) * MAX_PARTS + b"--b--\r\n")
        self.assertLess(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak, 10_000)

    def test_too_many_parts_are_refused(self):
        with self.assertRaisesRegex(RequestEntityTooLarge, f"more than {MAX_PARTS} parts"):
            _read(_part(_HEAD % b"a") * (MAX_PARTS + 1) + b"--b--\r\n")

    @parameterized.parameters(
        _part(_HEAD % b"a"),
        b"",
        b"--b",
        b"--b\r\n[]--b--\r\n",
        _part(b"X: y") + b"--b--",
        _part(_HEAD % b"\xff") + b"--b--",
    )
    def test_damaged_forms_are_refused(self, body: bytes):
        with self.assertRaises(BadRequest):
            _read(body)

    @parameterized.parameters("", "b" * 300, "é")
    def test_odd_boundaries_are_refused(self, boundary: str):
        with self.assertRaisesRegex(BadRequest, "boundary"):
            _read(b"", boundary)


if __name__ == "__main__":
    absltest.main()
