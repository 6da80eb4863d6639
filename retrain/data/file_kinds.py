"""Recognizes image files by name or first bytes, and folders that belong to a system."""

import os
import re
from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto
from itertools import chain

from retrain.system.files import regular_files
from retrain.system.text import name_some

# Extensions of image files by format, in lower case. The content of a file decides its format.
EXTENSIONS_OF_FORMAT = {
    "JPEG": ("jpg", "jpeg", "jpe", "jif", "jfif", "pjp", "pjpeg", "mpo"),
    "PNG": ("png", "apng"),
    "BMP": ("bmp", "dib"),
    "GIF": ("gif",),
    "WEBP": ("webp",),
    "HEIF": ("heic", "heics", "heif", "heifs", "hif"),
    "AVIF": ("avif", "avifs"),
}
EXTENSIONS = tuple(chain.from_iterable(EXTENSIONS_OF_FORMAT.values()))
# Suffixes of images that cannot be read. Users can miss these images.
UNSUPPORTED_SUFFIXES = (
    *(".tif", ".tiff", ".jxl", ".jp2", ".j2k", ".jpx", ".jpf", ".svg", ".psd", ".dng", ".ico"),
    *(".tga", ".ppm", ".pgm", ".pbm", ".exr", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".raf"),
    *(".rw2", ".dcm"),
)
_SUFFIXES = tuple(f".{extension}" for extension in EXTENSIONS)
# Suffixes of other content. A data set can have one such file for each image.
_OTHER_CONTENT = {
    *(".txt", ".xml", ".json", ".jsonl", ".csv", ".tsv", ".yaml", ".yml", ".md", ".log", ".ini"),
    *(".py", ".ipynb", ".npy", ".npz", ".mat", ".pkl", ".pt", ".h5", ".tfrecord", ".db", ".pdf"),
    *(".zip", ".gz", ".tar", ".mp4", ".mov", ".avi", ".mp3", ".wav", ".xmp", ".aae", ".lnk"),
}
# Number of files with such a suffix that turn out to be no images before the others are not opened.
# Opening tens of thousands of files takes long.
_MAX_UNLIKELY = 100

# Names in lower case of folders that NAS devices, operating systems and their tools create next to
# the files of users. They contain thumbnails, deleted files and metadata. Names of plausible
# classes, such as "trash" and "recycled", are missing on purpose.
_SYSTEM_FOLDERS = {
    *("@eadir", "@tmp", "@recycle", "@recently-snapshot", "@snapshot", "@sharebin", "@__thumb"),
    *("@appstore", "@database", "@quarantine", "#recycle", "#snapshot", "~snapshot", ".snapshot"),
    *("$recycle.bin", "recycler", "system volume information", "$extend", "dfsrprivate"),
    *("__macosx", "network trash folder", "temporary items", "thevolumesettingsfolder"),
    *("lost+found", "thumbs", "_thumbs", ".thumbs", ".thumbnails", ".thumb", ".@__thumb"),
    *(".spotlight-v100", ".fseventsd", ".temporaryitems", ".documentrevisions-v100"),
    *(".dropbox.cache", ".stversions", ".stfolder", ".picasaoriginals", "_gsdata_", "_vti_cnf"),
}
_SYSTEM_FOLDER_PATTERN = re.compile(r"\.apple|\.trash|@syno|@gmt-|\$windows\.~|found\.\d{3}\Z")

_NUM_FIRST_BYTES = 18
# https://mimesniff.spec.whatwg.org/#matching-an-image-type-pattern
_FIRST_BYTES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a")
# Sizes of the header that follows the 14 bytes of a BMP file header.
_BMP_HEADER_SIZES = {12, 16, 40, 52, 56, 64, 108, 124}
# Brands of HEIF and AVIF images (ISO/IEC 23008-12, 10, and the AVIF specification).
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1", b"avif", b"avis"}


class FileKind(Enum):
    """What an entry of a folder is, if it is not a folder.

    Attributes:
        IMAGE: File with the extension of an image.
        MISNAMED: File that starts like an image but does not have the extension of one.
        SPECIAL: Pipe, socket, device or broken link with the extension of an image. Opening it
            fails or never ends.
        OTHER: Anything else.
    """

    IMAGE = auto()
    MISNAMED = auto()
    SPECIAL = auto()
    OTHER = auto()


class FileRecognizer:
    """Determines the kinds of many files. Opens only files that do not have an image's name."""

    def __init__(self) -> None:
        self._unlikely: Counter[str] = Counter()

    def recognize(self, entry: os.DirEntry[str]) -> FileKind:
        """Returns the kind of an entry that is not a folder."""
        if entry.name.lower().endswith(_SUFFIXES):
            return FileKind.IMAGE if is_file(entry) else FileKind.SPECIAL
        suffix = suffix_of(entry.name)
        is_unlikely = suffix in _OTHER_CONTENT
        if (is_unlikely and self._unlikely[suffix] >= _MAX_UNLIKELY) or not is_file(entry):
            return FileKind.OTHER
        if _starts_like_image(entry.path):
            return FileKind.MISNAMED
        if is_unlikely:
            self._unlikely[suffix] += 1
        return FileKind.OTHER


def has_image_name(name: str) -> bool:
    """Returns whether a file name has the extension of an image that can be read."""
    return name.lower().endswith(_SUFFIXES)


def is_system_folder(name: str) -> bool:
    """Returns whether NAS devices or operating systems give this name to folders of their own."""
    lower = name.lower()
    return lower in _SYSTEM_FOLDERS or bool(_SYSTEM_FOLDER_PATTERN.match(lower))


def is_file(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a regular file, or a link to one."""
    try:
        return entry.is_file()
    except OSError:  # A link to itself, or to a folder that the user cannot open.
        return False


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Returns whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, or to a folder that the user cannot open.
        return False


def suffix_of(name: str) -> str:
    """Returns the suffix of a file name in lower case, or "without an extension"."""
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122 (faster for many files)
    return suffix if len(suffix) > 1 else "without an extension"


def describe_special_file(path: str) -> str:
    """Returns "pipe", "socket", "device" or "broken link"."""
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 (the path can be one that is not valid text)
    except OSError:
        return "broken link"
    return regular_files.describe_special_file(mode) or "special file"


def describe_misnamed(names: Iterable[str], count: int) -> str:
    """Returns a message about files that look like images but have other names.

    Args:
        names: Names of the files, or the first of them.
        count: Number of the files.
    """
    advice = "with an extension such as .jpg"
    if count == 1:
        name = name_some(names)
        return f"1 file looks like an image but has another name, {name}; rename it {advice}"
    examples = name_some(names, most=3, count=count)
    return (
        f"{count:,} files look like images but have other names, such as {examples}; rename them "
        f"{advice}"
    )


def _starts_like_image(path: str) -> bool:
    try:
        descriptor = os.open(path, regular_files.READ_FLAGS)
    except OSError:
        return False
    try:
        start = os.read(descriptor, _NUM_FIRST_BYTES)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return (
        start.startswith(_FIRST_BYTES)
        or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
        or (start[4:8] == b"ftyp" and start[8:12] in _BRANDS)
        or (start[:2] == b"BM" and int.from_bytes(start[14:18], "little") in _BMP_HEADER_SIZES)
    )
