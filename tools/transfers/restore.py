"""Moves one image back, or removes its copy or link, only if it is what a run put there.

Images are found below two open folders without following links, and are compared with the digest
that the run recorded. What others change during these steps is never removed or overwritten.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tools.transfers import digests, new_files
from tools.transfers.errors import TransferError
from tools.transfers.folder_tree import FolderTree, Place
from tools.transfers.run_records import RunRecord
from tools.transfers.transfer import SYMBOLIC_LINK


class SortedImage(NamedTuple):
    """What a run did with an image.

    Attributes:
        image: Old name, relative to the source folder.
        target: New name, relative to the target folder.
        digest: Result of `digests.of_image`, or None if an earlier version sorted the image.
    """

    image: str
    target: str
    digest: str | None = None


class Restorer:
    """Restores the images of a run. Its methods can be called in several threads."""

    def __init__(self, record: RunRecord, operation: str) -> None:
        """Does not change anything yet.

        Args:
            record: The folders of the run.
            operation: `transfer.COPY`, `MOVE`, `HARD_LINK` or `SYMBOLIC_LINK`.
        """
        self._source = FolderTree(Path(record.real_source))
        self._target = FolderTree(Path(record.real_target))
        # As in the targets of symbolic links.
        self._typed_source = Path(record.source)
        self._operation = operation

    def create_image(self, sorted_image: SortedImage) -> os.stat_result | None:
        """Creates a moved image at its old place. Does not remove it from the new one.

        Returns:
            The status of the image at its new place, or None if it is at its old place only.

        Raises:
            TransferError: If this image cannot be restored.
            UnwritableError: If the source folder cannot be written.
        """
        with self._target.place(sorted_image.target) as target:
            status = target.status() if target else None
            if target is None or status is None:
                self._check_restored(sorted_image)
                return None
            if stat.S_ISLNK(status.st_mode):
                _check_digest(digests.of_link(target), sorted_image, target)
                with self._place_for_image(sorted_image) as image:
                    _create_link(target, image)
                return status
            with target.open_file() as descriptor:
                status = os.fstat(descriptor)
                self._check_file(sorted_image, target, descriptor)
                with self._place_for_image(sorted_image) as image:
                    _create_file(target, descriptor, image)
                return status

    def remove_target(self, sorted_image: SortedImage, status: os.stat_result) -> None:
        """Removes a moved image from its new place after `create_image`, which returned `status`.

        Raises:
            TransferError: If it has changed since or cannot be removed.
        """
        with self._target.place(sorted_image.target) as target:
            if target is not None:
                _remove(target, status)

    def remove_copy(self, sorted_image: SortedImage) -> bool:
        """Removes a copy or link, if the original is still there.

        Returns:
            Whether there was a copy or link.

        Raises:
            TransferError: If it is not what the run created, or cannot be removed.
        """
        with self._target.place(sorted_image.target) as target:
            status = target.status() if target else None
            if target is None or status is None:
                return False
            if self._operation == SYMBOLIC_LINK:
                if not stat.S_ISLNK(status.st_mode):
                    raise TransferError(f"{target.path} is no longer a link")
                image = self._typed_source / sorted_image.image
                if os.readlink(target.name, dir_fd=target.folder) != str(image):
                    raise TransferError(f"{target.path} is kept, because it leads elsewhere")
            else:
                with target.open_file() as descriptor:
                    status = os.fstat(descriptor)
                    self._check_copy(sorted_image, target, descriptor)
            _remove(target, status)
        return True

    def remove_partial(self, sorted_image: SortedImage) -> None:
        """Removes what an interrupted transfer left: an incomplete copy or a reserved name."""
        with (
            contextlib.suppress(OSError, TransferError),
            self._target.place(sorted_image.target) as target,
            self._source.place(sorted_image.image) as image,
        ):
            if target is None:
                return
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new_files.temporary_path(target.path).name, dir_fd=target.folder)
            status = target.status()
            is_empty = status and stat.S_ISREG(status.st_mode) and not status.st_size
            if is_empty and image is not None and image.status() is not None:
                os.unlink(target.name, dir_fd=target.folder)

    @contextlib.contextmanager
    def _place_for_image(self, sorted_image: SortedImage) -> Iterator[Place]:
        with self._source.place(sorted_image.image, create=True) as image:
            if image is None:
                raise TransferError(
                    f"the folder of {sorted_image.image} was removed during the undo"
                )
            yield image

    def _check_restored(self, sorted_image: SortedImage) -> None:
        with self._source.place(sorted_image.image) as image:
            if image is None or image.status() is None:
                path = self._target.root / sorted_image.target
                raise TransferError(f"{path} no longer exists")

    def _check_file(self, sorted_image: SortedImage, target: Place, descriptor: int) -> None:
        """Raises TransferError if an open file is not the image that was moved."""
        if sorted_image.digest is not None:
            _check_digest(digests.of_file(descriptor), sorted_image, target)
            return
        status = os.fstat(descriptor)
        with self._source.place(sorted_image.image) as image:
            existing = image.status() if image else None
        # Moving an image never leaves it with a second name, except during the undo.
        if status.st_nlink > 1 and not (existing and os.path.samestat(existing, status)):
            raise TransferError(f"{target.path} is kept, because it has another name elsewhere")

    def _check_copy(self, sorted_image: SortedImage, target: Place, descriptor: int) -> None:
        """Raises TransferError if an open file is not a copy of an image that is still there."""
        different = f"{target.path} is kept, because the original file is not the same"
        digest = digests.of_file(descriptor)
        if sorted_image.digest is not None:
            _check_digest(digest, sorted_image, target)
        with self._source.place(sorted_image.image) as image:
            if image is None or image.status() is None:
                raise TransferError(different)
            with image.open_file(follow_link=True) as original:
                if os.path.samestat(os.fstat(original), os.fstat(descriptor)):
                    # The image can be a link to the copy.
                    is_same = os.path.realpath(image.path) != str(target.path)
                else:
                    is_same = digests.of_file(original) == digest
        if not is_same:
            raise TransferError(different)


def _check_digest(digest: str, sorted_image: SortedImage, target: Place) -> None:
    if sorted_image.digest is not None and digest != sorted_image.digest:
        raise TransferError(f"{target.path} is kept, because it changed after it was sorted")


def _create_link(target: Place, image: Place) -> None:
    text = os.readlink(target.name, dir_fd=target.folder)
    with new_files.translated_errors(image.path):
        try:
            os.symlink(text, image.name, dir_fd=image.folder)
        except FileExistsError:
            status = image.status()
            is_link = status is not None and stat.S_ISLNK(status.st_mode)
            if not is_link or os.readlink(image.name, dir_fd=image.folder) != text:
                raise


def _create_file(target: Place, descriptor: int, image: Place) -> None:
    """Creates the image as another name of an open file, or as a copy on another file system."""
    existing = image.status()
    if existing is not None:
        if not _has_content(image, descriptor):
            raise TransferError(f"{image.path} already exists")
        return
    with new_files.translated_errors(image.path):
        try:
            os.link(
                target.name,
                image.name,
                src_dir_fd=target.folder,
                dst_dir_fd=image.folder,
                follow_symlinks=False,
            )
        except OSError as error:
            if error.errno not in new_files.NO_HARD_LINKS:
                raise
            new_files.copy_open_file(descriptor, image.name, folder=image.folder)
            return
        created = image.status()
        if created is None or not os.path.samestat(created, os.fstat(descriptor)):
            if created is not None:
                os.unlink(image.name, dir_fd=image.folder)
            raise TransferError(f"{target.path} was replaced during the undo")


def _has_content(image: Place, descriptor: int) -> bool:
    """Returns whether an earlier undo already created the image."""
    status = image.status()
    if status is None or not stat.S_ISREG(status.st_mode):
        return False
    with image.open_file() as existing:
        return os.path.samestat(os.fstat(existing), os.fstat(descriptor)) or (
            digests.of_file(existing) == digests.of_file(descriptor)
        )


def _remove(place: Place, status: os.stat_result) -> None:
    """Removes an entry if it still has a status, apart from the number of its names."""
    current = place.status()
    if current is None:
        return
    if not new_files.is_unchanged(status, current):
        raise TransferError(f"{place.path} changed during the undo")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(place.name, dir_fd=place.folder)
    except OSError as error:
        raise TransferError(f"{place.path} cannot be removed: {error.strerror}") from error
