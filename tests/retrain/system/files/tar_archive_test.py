"""TAR archives that were made to fill the disk, or to write elsewhere, are refused."""

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterable
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from retrain.model_limits import ModelLimits
from retrain.system.files import archives, tar_archive
from retrain.system.files.archives import ArchiveError

_Member = tuple[tarfile.TarInfo, bytes]
_SMALL = ModelLimits(entries=5, small_bytes=200_000, unpacked_ratio=3)


def _member(name: str, content: bytes = b"", **attributes: object) -> _Member:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member, content


def _tar(members: Iterable[_Member], *, compressed: bool = True) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for member, content in members:
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(file.getvalue()) if compressed else file.getvalue()


def _sparse() -> _Member:
    """Returns a member of some bytes that states to unpack to 30 GB."""
    headers = {
        "GNU.sparse.major": "1",
        "GNU.sparse.minor": "0",
        "GNU.sparse.name": "sparse",
        "GNU.sparse.realsize": str(30 * 10**9),
    }
    return _member("sparse", b"0\n".ljust(512, b"\0"), pax_headers=headers)


class UnpackTarTest(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.folder = Path(self.create_tempdir().full_path)
        self.enter_context(mock.patch.object(archives, "LIMITS", _SMALL))

    def unpack(self, data: bytes) -> dict[str, bytes]:
        tar_archive.unpack(io.BytesIO(data), self.folder)
        files = (file for file in self.folder.rglob("*") if file.is_file())
        return {str(file.relative_to(self.folder)): file.read_bytes() for file in files}

    def assert_refused(self, data: bytes, reason: str) -> None:
        with self.assertRaisesRegex(ArchiveError, reason) as caught:
            self.unpack(data)
        self.assertNotIn("\n", str(caught.exception))

    @parameterized.parameters(True, False)
    def test_files_and_folders_are_unpacked(self, compressed: bool):
        members = [
            _member("./", type=tarfile.DIRTYPE),
            _member("./empty"),
            _member("./a/b/c", b"text" * 128),
            _member("d", b"x" * 1000),
        ]
        self.assertEqual(
            self.unpack(_tar(members, compressed=compressed)),
            {"empty": b"", "a/b/c": b"text" * 128, "d": b"x" * 1000},
        )

    def test_permissions_and_owners_in_the_archive_are_ignored(self):
        self.unpack(_tar([_member("a", b"text", mode=0o6777, uid=0, uname="root")]))
        status = (self.folder / "a").stat()
        self.assertEqual(status.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o111), 0)
        self.assertEqual(status.st_uid, os.geteuid())

    @parameterized.parameters(
        [_member("../evil", b"x")],
        [_member("a/../../evil", b"x")],
        [_member("/tmp/evil", b"x")],
        [_member("link", type=tarfile.SYMTYPE, linkname="/etc")],
        [_member("link", type=tarfile.LNKTYPE, linkname="/etc/passwd")],
        [_member("device", type=tarfile.CHRTYPE)],
        [_member("pipe", type=tarfile.FIFOTYPE)],
        [_sparse()],
        [_member("sparse", bytes(512), type=tarfile.GNUTYPE_SPARSE)],
    )
    def test_other_members_are_refused(self, member: _Member):
        self.assert_refused(_tar([member]), "is not a file inside the archive")
        self.assertEmpty(list(self.folder.iterdir()))

    def test_two_files_cannot_have_one_name(self):
        for second in ("a", "a/b"):
            self.assert_refused(_tar([_member("a", b"x"), _member(second, b"y")]), "a.* twice")
            (self.folder / "a").unlink()

    def test_many_files_are_refused(self):
        self.assert_refused(_tar(_member(f"{i}") for i in range(6)), "more than 5 files")

    @parameterized.parameters(
        gzip.compress(_tar([_member("zeros", bytes(1_500_000))], compressed=False)),
        _tar([_member("zeros", bytes(1_500_000))], compressed=False)[:2000],
        gzip.compress(bytes(1_500_000)),
    )
    def test_an_archive_cannot_state_or_unpack_to_many_times_its_size(self, data: bytes):
        self.assert_refused(data, "unpack to more than the 200,000 bytes|unexpected end")

    def test_a_header_of_many_bytes_is_refused(self):
        member, _ = _member("header", type=tarfile.XHDTYPE)
        member.size = 4 * 10**9
        self.assert_refused(member.tobuf(tarfile.USTAR_FORMAT), "a header without end")

    def test_a_damaged_archive_is_refused(self):
        data = _tar([_member("a", os.urandom(2000))])
        for damaged in (b"", b"text", data[:-4], data[:1000], data[:-8] + bytes(8)):
            folder = self.folder / str(len(damaged))
            folder.mkdir()
            with self.assertRaises(ArchiveError):
                tar_archive.unpack(io.BytesIO(damaged), folder)


if __name__ == "__main__":
    absltest.main()
