"""Converts and checks the values of flags."""

import math
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.system.files.cache_folder import check_cache_folder, default_cache_folder
from retrain.system.files.user_paths import user_path


def cache_folder(flag: flags.FlagHolder[str | None]) -> Path:
    """Returns the folder for a cache: the value of the flag, or the user's own folder.

    Raises:
        UserError: If others can write to the folder.
    """
    folder = user_path(flag.value) if flag.value else default_cache_folder()
    check_cache_folder(folder, f"--{flag.name}", is_default=not flag.value)
    return folder


def fraction(flag: flags.FlagHolder[float]) -> float:
    """Returns a value from 0 to 1.

    Raises:
        UserError: If the value is out of range.
    """
    return _check_fraction(flag.name, flag.value)


def optional_fraction(flag: flags.FlagHolder[float | None]) -> float | None:
    """Returns a value from 0 to 1, or None if the flag is not set.

    Raises:
        UserError: If the value is out of range.
    """
    return None if flag.value is None else _check_fraction(flag.name, flag.value)


def _check_fraction(name: str, value: float) -> float:
    if 0 <= value <= 1:
        return value
    raise UserError(f"--{name} must be a fraction from 0 to 1, not {value:g}")


def percentage(flag: flags.FlagHolder[float]) -> float:
    """Returns a value from 0 to 100.

    Raises:
        UserError: If the value is out of range.
    """
    if 0 <= flag.value <= 100:
        return flag.value
    raise UserError(f"--{flag.name} must be a percentage from 0 to 100, not {flag.value:g}")


def batch_size(flag: flags.FlagHolder[int]) -> int:
    """Returns a positive number of images, or -1 for all.

    Raises:
        UserError: If the value is out of range.
    """
    if flag.value == -1 or flag.value > 0:
        return flag.value
    raise UserError(f"--{flag.name} must be a number of images, or -1 for all, not {flag.value}")


def channel_values(
    flag: flags.FlagHolder[str | None], *, minimum: float
) -> tuple[float, float, float] | None:
    """Returns a value for each of the channels red, green and blue, or None if there are none.

    Args:
        flag: A flag whose value is one number, or three with commas between them.
        minimum: Smallest valid number.

    Raises:
        UserError: If the value cannot be parsed, or is out of range.
    """
    if flag.value is None:
        return None
    try:
        numbers = [float(number) for number in flag.value.split(",")]
    except ValueError:
        numbers = []
    numbers *= 3 if len(numbers) == 1 else 1
    if len(numbers) != 3 or not all(minimum <= number < math.inf for number in numbers):
        raise UserError(
            f"--{flag.name}={flag.value} must be one number, or three numbers separated by commas "
            "for red, green and blue, such as 127.5"
        )
    return numbers[0], numbers[1], numbers[2]
