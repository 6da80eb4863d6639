"""Files are downloaded whole or not at all, and no part of one is downloaded twice."""

import email.utils
import hashlib
import socket
import threading
from pathlib import Path
from unittest import mock

import numpy as np
from absl.testing import absltest, parameterized

from retrain.system.downloads import download
from tests.support.file_server import etag_header, serving

_CONTENT, _CHANGED = (np.random.default_rng(seed).bytes(3_000_000) for seed in (0, 1))
_MD5 = hashlib.md5(_CONTENT).hexdigest()
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()


def _date(content):
    seconds = 1e9 if content == _CONTENT else 1.1e9
    return {"Last-Modified": email.utils.formatdate(seconds, usegmt=True)}


class DownloadTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = self.folder / "deeper" / "weights.h5"
        self.files = {"/w.h5": _CONTENT}
        self.server = self.enter_context(serving(self.files))
        self.url = f"{self.server.url}/w.h5"

    def file_names(self):
        return sorted(file.name for file in self.path.parent.iterdir())

    def interrupt_download(self, message, digest=None):
        self.server.break_off_after = 1_000_000
        with self.assertRaisesRegex(download.DownloadError, message):
            download.fetch(self.url, self.path, digest=digest)
        self.server.break_off_after = None

    def ranges(self):
        return [part for _, part in self.server.requests]

    def test_a_file_is_downloaded_once(self):
        for digest in (None, _MD5, _SHA256):
            download.fetch(self.url, self.path, digest=digest)
            self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.server.requests, [("/w.h5", None)])
        self.assertEqual(self.file_names(), ["weights.h5"])

    def test_an_interrupted_download_is_resumed(self):
        self.server.break_off_after = 1_000_000
        for kept in ("1.0", "2.0"):
            with self.assertRaisesRegex(download.DownloadError, f"after {kept} MB, which are kept"):
                download.fetch(self.url, self.path, digest=_MD5)
            self.assertEqual(self.file_names(), ["weights.h5.part", "weights.h5.part.version"])
        download.fetch(self.url, self.path, digest=_MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-", "bytes=2000000-"])
        self.assertEqual(self.file_names(), ["weights.h5"])

    @parameterized.named_parameters(("tag", etag_header), ("date", _date))
    def test_a_download_is_resumed_if_the_file_has_not_changed(self, version):
        self.server.version_headers = version
        self.interrupt_download("after 1.0 MB, which are kept")
        download.fetch(self.url, self.path)
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])

    @parameterized.named_parameters(("tag", etag_header), ("date", _date))
    def test_a_download_of_another_version_is_not_resumed(self, version):
        self.server.version_headers = version
        self.interrupt_download("after 1.0 MB, which are kept")
        self.files["/w.h5"] = _CHANGED
        download.fetch(self.url, self.path)
        self.assertEqual(self.path.read_bytes(), _CHANGED)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-"])
        self.assertEqual(self.file_names(), ["weights.h5"])

    def test_a_server_that_sends_the_rest_of_another_version_is_asked_for_all(self):
        self.interrupt_download("after 1.0 MB, which are kept")
        self.files["/w.h5"], self.server.supports_if_range = _CHANGED, False
        download.fetch(self.url, self.path)
        self.assertEqual(self.path.read_bytes(), _CHANGED)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-", None])

    @parameterized.named_parameters(
        ("nothing", lambda _: {}),
        (
            "a_weak_tag",
            lambda content: {"ETag": f"W/{etag_header(content)['ETag']}", **_date(content)},
        ),
        ("a_date_of_now", lambda _: {"Last-Modified": email.utils.formatdate(usegmt=True)}),
        ("no_date", lambda _: {"Last-Modified": "yesterday"}),
    )
    def test_a_part_of_an_unknown_version_is_not_kept(self, version):
        self.server.version_headers = version
        self.interrupt_download("closed the connection too early$")
        self.assertEqual(self.file_names(), [])
        download.fetch(self.url, self.path)
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.ranges(), [None, None])

    def test_a_damaged_version_file_is_ignored(self):
        for note in (b"", b"\0\0\0", b'"abc', b"\xff\n"):
            self.interrupt_download("after 1.0 MB, which are kept")
            (self.path.parent / "weights.h5.part.version").write_bytes(note)
            download.fetch(self.url, self.path)
            self.assertEqual(self.path.read_bytes(), _CONTENT)
            self.assertEqual(self.file_names(), ["weights.h5"])
            self.path.unlink()

    def test_a_server_that_sends_only_whole_files_sends_it_again(self):
        self.server.break_off_after, self.server.supports_ranges = 1_000_000, False
        with self.assertRaises(download.DownloadError):
            download.fetch(self.url, self.path, digest=_MD5)
        self.server.break_off_after = None
        download.fetch(self.url, self.path, digest=_MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)

    def test_a_complete_part_is_downloaded_again(self):
        self.path.parent.mkdir()
        (self.path.parent / "weights.h5.part").write_bytes(_CONTENT)
        (self.path.parent / "weights.h5.part.version").write_text(etag_header(_CONTENT)["ETag"])
        download.fetch(self.url, self.path, digest=_MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.ranges(), ["bytes=3000000-", None])
        self.assertEqual(self.file_names(), ["weights.h5"])

    def test_content_with_another_digest_is_refused_and_not_kept(self):
        with self.assertRaisesRegex(download.DownloadError, "does not have digest 00000000"):
            download.fetch(self.url, self.path, digest="0" * 32)
        self.assertEqual(self.file_names(), [])

    def test_a_file_with_another_digest_is_replaced(self):
        self.path.parent.mkdir()
        self.path.write_bytes(b"an older version")
        download.fetch(self.url, self.path, digest=_SHA256)
        self.assertEqual(self.path.read_bytes(), _CONTENT)

    def test_a_missing_file_is_an_error_and_leaves_nothing(self):
        with self.assertRaisesRegex(download.DownloadError, "^127.0.0.1:.* answers 404 Not Found$"):
            download.fetch(f"{self.server.url}/none", self.path)
        self.assertEqual(self.file_names(), [])

    def test_letters_of_any_alphabet_are_quoted_once(self):
        for path in ("/mod%C3%A8le/1", "/a%20b?c=%C3%A9&d=%2F"):
            self.files[path] = _CONTENT
        for path in ("/modèle/1", "/mod%C3%A8le/1", "/a b?c=é&d=%2F"):
            download.fetch(self.server.url + path, self.path)
            self.assertEqual(self.path.read_bytes(), _CONTENT)
            self.path.unlink()

    def test_an_invalid_address_is_an_error(self):
        for url in ("http://[bad/1", "http://host:port/1", "nothing/1", "http://é..fr/1"):
            with self.assertRaises(download.DownloadError):
                download.fetch(url, self.path)
            self.assertEqual(self.file_names(), [])

    def test_a_missing_server_is_an_error(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/w.h5"
            with self.assertRaisesRegex(download.DownloadError, "^Connection refused$"):
                download.fetch(url, self.path)

    def test_several_callers_download_it_once(self):
        threads = [
            threading.Thread(
                target=download.fetch, args=(self.url, self.path), kwargs={"digest": _MD5}
            )
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertLen(self.server.requests, 1)
        self.assertEqual(self.file_names(), ["weights.h5"])

    def test_one_caller_resumes_the_download_of_another(self):
        self.server.break_off_after = 1_000_000
        errors = []

        def fetch():
            try:
                download.fetch(self.url, self.path)
            except download.DownloadError as error:
                errors.append(str(error))

        threads = [threading.Thread(target=fetch) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertLen(errors, 2)
        self.assertEqual(self.ranges(), [None, "bytes=1000000-", "bytes=2000000-"])

    def test_the_content_is_flushed_before_the_file_gets_its_name(self):
        flushed = []

        def record(part: Path) -> None:
            self.assertFalse(self.path.exists())
            flushed.append(part.read_bytes())

        with mock.patch.object(download, "flush_file", record):
            download.fetch(self.url, self.path)
        self.assertEqual(flushed, [_CONTENT])
        self.assertEqual(self.path.read_bytes(), _CONTENT)


if __name__ == "__main__":
    absltest.main()
