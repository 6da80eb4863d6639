"""TensorFlow Hub modules are found in folders, archives and caches, and downloaded once."""

import hashlib
import io
import os
import stat
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.backbones import hub_download
from retrain.errors import UserError
from tests.support import tiny_modules
from tests.support.file_server import serving

_TFHUB_HANDLE = "https://tfhub.dev/google/imagenet/mobilenet_v2_100_224/feature_vector/4"
_KAGGLE_HANDLE = "google/mobilenet-v2/tensorFlow2/100-224-feature-vector"


class HubDownloadTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.cache = self.folder / "cache"
        self.enter_context(mock.patch.dict("os.environ", TFHUB_CACHE_DIR=""))

    def find(self, handle) -> Path:
        return hub_download.find_folder(str(handle), self.cache)

    def write_module(self, name: str) -> Path:
        """Writes a folder that looks like a module from the outside."""
        module = self.folder / name
        (module / "variables").mkdir(parents=True)
        (module / "saved_model.pb").write_text("a model")
        (module / "variables" / "variables.index").write_text("an index")
        return module

    def archive(self, name: str = "packed.tar.gz") -> Path:
        return tiny_modules.archive(self.write_module("to_pack"), self.folder / name)

    def assert_module(self, folder: Path):
        self.assertEqual((folder / "saved_model.pb").read_text(), "a model")
        self.assertEqual((folder / "variables" / "variables.index").read_text(), "an index")


class FindFolderTest(HubDownloadTestCase):
    def test_a_folder_is_used_where_it_is(self):
        module = self.write_module("module")
        self.assertEqual(self.find(module), module)
        self.assertFalse(self.cache.exists())

    def test_an_archive_is_unpacked_into_the_cache_once(self):
        archive = self.archive()
        self.addCleanup(os.umask, os.umask(0))
        folder = self.find(archive)
        self.assert_module(folder)
        self.assertEqual(folder.parent, self.cache / "modules")
        self.assertEqual(stat.S_IMODE(folder.parent.stat().st_mode), 0o700)
        before = folder.stat().st_ino
        self.assertEqual(self.find(archive), folder)
        self.assertEqual(folder.stat().st_ino, before)

    def test_a_module_in_a_subfolder_of_an_archive_is_found(self):
        archive = self.folder / "deep.tgz"
        with tarfile.open(archive, "w:gz") as file:
            file.add(self.write_module("to_pack"), "inner")
        folder = self.find(archive)
        self.assert_module(folder)
        self.assertEqual(folder.name, "inner")

    def test_an_address_is_downloaded_once_in_compressed_form(self):
        query = "/m_224/feature_vector/4?tf-hub-format=compressed"
        with serving({query: self.archive().read_bytes()}) as server:
            first = self.find(f"{server.url}/m_224/feature_vector/4")
            second = self.find(f"{server.url}/m_224/feature_vector/4")
            self.assertEqual(server.requests, [(query, None)])
        self.assert_module(first)
        self.assertEqual(first, second)
        self.assertEmpty(list(first.parent.glob("*.tar.gz*")))

    def test_several_callers_download_it_once(self):
        query = "/m_224/feature_vector/4?tf-hub-format=compressed"
        with serving({query: self.archive().read_bytes()}) as server:
            handle = f"{server.url}/m_224/feature_vector/4"
            with ThreadPoolExecutor(8) as pool:
                folders = set(pool.map(self.find, [handle] * 8))
            self.assertEqual(server.requests, [(query, None)])
        (folder,) = folders
        self.assert_module(folder)
        self.assertEqual(list(folder.parent.iterdir()), [folder])

    def test_an_address_can_have_a_signature_and_any_letters(self):
        signature = f"X-Goog-Signature={'0123456789' * 50}"
        content = self.archive().read_bytes()
        with serving({f"/mod%C3%A8le/1/m.tar.gz?{signature}": content}) as server:
            self.assert_module(self.find(f"{server.url}/modèle/1/m.tar.gz?{signature}"))

    def test_a_download_of_the_tensorflow_hub_package_is_used(self):
        with mock.patch.dict("os.environ", TFHUB_CACHE_DIR=str(self.folder / "hub")):
            folder = self.folder / "hub" / hashlib.sha1(_TFHUB_HANDLE.encode()).hexdigest()
            folder.parent.mkdir()
            self.write_module("module").rename(folder)
            self.assertEqual(self.find(_TFHUB_HANDLE), folder)
            folder.parent.chmod(0o777)
            with self.assertRaisesRegex(UserError, "^TFHUB_CACHE_DIR=.* is not safe as a cache"):
                self.find(_TFHUB_HANDLE)

    def test_a_failed_download_is_not_kept(self):
        with serving({"/m/1?tf-hub-format=compressed": b"<html>Sign in</html>"}) as server:
            for _ in range(2):
                with self.assertRaisesRegex(UserError, "cannot be unpacked"):
                    self.find(f"{server.url}/m/1")
            # Each time, the damaged archive is downloaded once more.
            self.assertLen(server.requests, 4)

    def test_an_archive_of_a_killed_run_that_is_damaged_is_downloaded_again(self):
        query, content = "/m/1?tf-hub-format=compressed", self.archive().read_bytes()
        for damaged in (content[: len(content) // 2], content[:-5], content[:-8] + bytes(8)):
            with self.subTest(length=len(damaged)), serving({query: content}) as server:
                handle = f"{server.url}/m/1"
                name = hashlib.sha1(handle.encode()).hexdigest()
                archive = self.cache / "modules" / f"{name}.tar.gz"
                archive.parent.mkdir(parents=True, exist_ok=True)
                archive.write_bytes(damaged)
                self.assert_module(self.find(handle))
                self.assertEqual(server.requests, [(query, None)])

    def test_a_module_that_was_damaged_later_is_downloaded_again(self):
        query = "/m/1?tf-hub-format=compressed"
        with serving({query: self.archive().read_bytes()}) as server:
            folder = self.find(f"{server.url}/m/1")
            (folder / "saved_model.pb").write_bytes(b"damaged")
            with self.assertLogs(level="WARNING") as logged:
                self.assert_module(self.find(f"{server.url}/m/1"))
            self.assertLen(logged.output, 1)
            self.assertLen(server.requests, 2)

    def test_a_module_in_an_archive_that_was_damaged_later_is_unpacked_again(self):
        archive = self.archive()
        (self.find(archive) / "saved_model.pb").write_bytes(b"damaged")
        with self.assertLogs(level="WARNING") as logged:
            self.assert_module(self.find(archive))
        self.assertLen(logged.output, 1)
        self.assertEndsWith(logged.output[0], " is damaged and will be replaced.")


class RefusedTest(HubDownloadTestCase):
    def refused(self, reason: str, handle):
        with self.assertRaisesRegex(UserError, reason) as caught:
            self.find(handle)
        self.assertStartsWith(str(caught.exception), f"--tfhub_module={handle} ")
        self.assertNotIn("\n", str(caught.exception))

    def test_handles_of_no_known_kind(self):
        for handle in ("/no/folder", "google/imagenet", "ftp://host/module", "http://[bad/1"):
            self.refused("neither a folder, a .tar.gz file nor an address", handle)

    def test_addresses_that_cannot_be_downloaded(self):
        for handle in ("http://host:port/1", "http://é..fr/1"):
            self.refused("cannot be downloaded", handle)
        self.refused("Connection refused", "http://127.0.0.1:1/module/1")
        with serving({}) as server:
            self.refused("404 Not Found.*tf-hub-format=compressed", f"{server.url}/module/1")

    def test_a_kaggle_handle_without_version(self):
        self.refused(f"needs a version at its end, such as {_KAGGLE_HANDLE}/1", _KAGGLE_HANDLE)

    def test_a_file_that_is_not_an_archive(self):
        (self.folder / "text.txt").write_text("text")
        self.refused("cannot be unpacked", self.folder / "text.txt")

    def test_an_archive_with_a_path_outside_of_it(self):
        path = self.folder / "evil.tar.gz"
        with tarfile.open(path, "w:gz") as file:
            member = tarfile.TarInfo("../../evil.txt")
            member.size = 4
            file.addfile(member, io.BytesIO(b"evil"))
        self.refused("evil.txt is not a file inside the archive", path)
        self.assertEmpty(list(self.folder.rglob("evil.txt")))

    def test_a_folder_without_saved_model(self):
        (self.folder / "images").mkdir()
        self.refused("contains no saved_model.pb", self.folder / "images")

    def test_a_module_of_tensorflow_1(self):
        (self.folder / "module").mkdir()
        (self.folder / "module" / "tfhub_module.pb").write_bytes(b"")
        self.refused("has the format of TensorFlow 1", self.folder / "module")


class HandleTest(parameterized.TestCase):
    @parameterized.parameters(
        (_TFHUB_HANDLE, 224),
        ("google/mobilenet-v2/tensorFlow2/100-160-feature-vector/2", 160),
        ("/modules/mobilenet_v1_100_192.tar.gz", 192),
        ("https://host/m_224/1.tar.gz?Expires=300", 224),
        ("/images/300/my_module", None),
        ("/images_300/my_module/2", None),
        ("https://host/224/efficientnet/b0/feature-vector/1?a=/m_224", None),
    )
    def test_the_image_size_is_part_of_the_name_of_the_network(self, handle, size):
        self.assertEqual(hub_download.size_in_name(handle), size)

    @parameterized.parameters(
        (_TFHUB_HANDLE, "mobilenet_v2_100_224_feature_vector_4"),
        ("https://host/modèle/1/m.tar.gz?secret=1", "modèle_1_m"),
        ("/modules/fixed", "fixed"),
        ("packed.tgz", "packed"),
    )
    def test_the_name_is_the_end_of_the_handle(self, handle, name):
        self.assertEqual(hub_download.module_name(handle), name)

    @parameterized.parameters(
        f"{_KAGGLE_HANDLE}/2",
        f"https://www.kaggle.com/models/{_KAGGLE_HANDLE}/2",
        f"https://www.kaggle.com/models/{_KAGGLE_HANDLE.replace('Flow2/', 'Flow2/variations/')}/2",
    )
    def test_kaggle_handles_and_pages_stand_for_an_archive(self, handle):
        self.assertEqual(
            hub_download.archive_url(handle),
            f"https://www.kaggle.com/api/v1/models/{_KAGGLE_HANDLE}/2/download",
        )

    @parameterized.parameters(
        ("https://host/m/1", "https://host/m/1?tf-hub-format=compressed"),
        ("https://host/m/1?a=b", "https://host/m/1?a=b&tf-hub-format=compressed"),
        ("https://host/m.tar.gz?a=b", "https://host/m.tar.gz?a=b"),
    )
    def test_modules_are_requested_in_compressed_form(self, handle, url):
        self.assertEqual(hub_download.archive_url(handle), url)


if __name__ == "__main__":
    absltest.main()
