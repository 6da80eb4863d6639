"""Files come whole or not at all, and what has come once is not fetched again."""

import hashlib
import socket
import threading
from pathlib import Path

import numpy as np
from absl.testing import absltest

from retrain import download
from tests.file_server import serving

_CONTENT = np.random.default_rng(0).bytes(3_000_000)
_MD5 = hashlib.md5(_CONTENT).hexdigest()
_SHA256 = hashlib.sha256(_CONTENT).hexdigest()


class DownloadTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.path = self.folder / "deeper" / "weights.h5"
        self.server = self.enter_context(serving({"/w.h5": _CONTENT}))
        self.url = f"{self.server.url}/w.h5"

    def left(self):
        return sorted(file.name for file in self.path.parent.iterdir())

    def test_a_file_comes_whole_and_once(self):
        for digest in (None, _MD5, _SHA256):
            download.fetch(self.url, self.path, digest)
            self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(self.server.asked, [("/w.h5", None)])
        self.assertEqual(self.left(), ["weights.h5"])

    def test_a_broken_off_download_is_gone_on_with(self):
        self.server.break_off_after = 1_000_000
        for kept in ("1.0", "2.0"):
            with self.assertRaisesRegex(download.DownloadError, f"after {kept} MB, which are kept"):
                download.fetch(self.url, self.path, _MD5)
            self.assertEqual(self.left(), ["weights.h5.part"])
        download.fetch(self.url, self.path, _MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertEqual(
            [part for _, part in self.server.asked], [None, "bytes=1000000-", "bytes=2000000-"]
        )
        self.assertEqual(self.left(), ["weights.h5"])

    def test_a_server_that_sends_only_whole_files_sends_it_again(self):
        self.server.break_off_after, self.server.ranges = 1_000_000, False
        with self.assertRaises(download.DownloadError):
            download.fetch(self.url, self.path, _MD5)
        self.server.break_off_after = None
        download.fetch(self.url, self.path, _MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)

    def test_what_was_complete_but_for_its_name_is_fetched_again(self):
        self.path.parent.mkdir()
        (self.path.parent / "weights.h5.part").write_bytes(_CONTENT)
        download.fetch(self.url, self.path, _MD5)
        self.assertEqual(self.path.read_bytes(), _CONTENT)

    def test_another_content_is_refused_and_not_kept(self):
        with self.assertRaisesRegex(download.DownloadError, "has not the digest 00000000"):
            download.fetch(self.url, self.path, "0" * 32)
        self.assertEqual(self.left(), [])

    def test_a_file_with_another_digest_is_replaced(self):
        self.path.parent.mkdir()
        self.path.write_bytes(b"an older version")
        download.fetch(self.url, self.path, _SHA256)
        self.assertEqual(self.path.read_bytes(), _CONTENT)

    def test_a_missing_file_is_told_and_leaves_nothing(self):
        with self.assertRaisesRegex(download.DownloadError, "^127.0.0.1:.* answers 404 Not Found$"):
            download.fetch(f"{self.server.url}/none", self.path)
        self.assertEqual(self.left(), [])

    def test_no_server_is_told(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}/w.h5"
            with self.assertRaisesRegex(download.DownloadError, "^Connection refused$"):
                download.fetch(url, self.path)

    def test_two_at_a_time_fetch_it_once(self):
        threads = [
            threading.Thread(target=download.fetch, args=(self.url, self.path, _MD5))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(self.path.read_bytes(), _CONTENT)
        self.assertLen(self.server.asked, 1)
        self.assertEqual(self.left(), ["weights.h5"])

    def test_sha256_is_that_of_the_content(self):
        path = self.folder / "file"
        path.write_bytes(_CONTENT)
        self.assertEqual(download.sha256(path), _SHA256)


if __name__ == "__main__":
    absltest.main()
