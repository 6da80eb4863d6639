"""Names and writes the PNG files of heat maps, and never replaces other files."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from label_image.heat_map_images import is_heat_map, to_png
from retrain.errors import UserError
from retrain.system.outputs.atomic_files import write_file
from retrain.system.outputs.checks import check_folder_writable, check_writable

SUFFIX = ".png"
# A folder is unlikely to have such a name.
_OTHER_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".webp", ".gif", ".bmp")


def resolve_paths(value: Path, images: Sequence[Path], flag: str) -> list[Path]:
    """Returns the path of the heat map of each image. Leaves nothing behind.

    A path that ends in .png is that of the only file. Any other path is a folder, in which the name
    of each file is that of the image with .png after it. A second image of the same name gets a
    number, as in photo.jpg-2.png.

    Args:
        value: Value of the flag.
        images: The images.
        flag: Name of the flag.

    Raises:
        UserError: If there are several images for one file, or if a file cannot be written or would
            replace anything but a heat map.
    """
    if value.suffix.lower() == SUFFIX:
        if len(images) > 1:
            raise UserError(
                f"--{flag}={value} is one file, but there are {len(images)} images; name a folder"
            )
        check_writable(value, flag)
        if value.exists() and value.samefile(images[0]):
            raise UserError(f"--{flag}={value} is the image itself; choose another path")
        check_replaceable(value, flag)
        return [value]
    if value.exists() and not value.is_dir():
        raise UserError(
            f"--{flag}={value} is a file; give a name that ends in {SUFFIX} for one heat map, or a "
            "folder for several"
        )
    if value.suffix.lower() in _OTHER_IMAGE_SUFFIXES and not value.exists():
        raise UserError(
            f"--{flag}={value} has the name of an image of another kind; heat maps are PNG files, "
            f"so give a name that ends in {SUFFIX}, or a folder"
        )
    check_folder_writable(value, flag)
    counts: Counter[str] = Counter()
    paths = []
    for image in images:
        counts[image.name] += 1
        number = f"-{counts[image.name]}" if counts[image.name] > 1 else ""
        paths.append(value / f"{image.name}{number}{SUFFIX}")
        check_replaceable(paths[-1], flag)
    return paths


def check_replaceable(path: Path, flag: str) -> None:
    """Raises UserError if there is anything but a heat map of this program at a path."""
    if (path.exists() or path.is_symlink()) and not is_heat_map_file(path):
        raise UserError(
            f"--{flag}: {path} exists and is not a heat map of this program, so it is not "
            "replaced; choose another path"
        )


def is_heat_map_file(path: Path) -> bool:
    """Returns whether a file is a heat map that this program wrote."""
    if not path.is_file():
        return False
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return is_heat_map(image)
    # Pillow raises exceptions of many types for damaged files.
    except Exception:
        return False


def write(path: Path, image: Image.Image) -> None:
    """Writes a heat map. Missing parent folders are created.

    Raises:
        UserError: If the file cannot be written.
    """
    write_file(path, to_png(image))
