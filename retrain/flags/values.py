"""Converts and checks the values of flags."""

import math
from collections.abc import Sequence
from pathlib import Path

from absl import flags

from retrain.errors import UserError
from retrain.system.files.cache_folder import check_cache_folder, default_cache_folder
from retrain.system.files.user_paths import user_path


def refuse_arguments(arguments: Sequence[str], advice: str) -> None:
    """Raises UserError if there are arguments that are not flags.

    Args:
        arguments: Arguments of the program that are not flags.
        advice: What the user probably wants, such as "--image_dir=DIR sets the folder of images".
    """
    if arguments:
        raise UserError(f"unexpected argument {arguments[0]}: only flags are accepted; {advice}")


def required(flag: flags.FlagHolder[str | None]) -> str:
    """Returns the value of a flag whose help ends in "Required.".

    Raises:
        UserError: If the flag is missing.
    """
    if not flag.value:
        purpose = str(flags.FLAGS[flag.name].help).removesuffix(" Required.").removesuffix(".")
        raise UserError(f"--{flag.name} is required: {purpose[0].lower()}{purpose[1:]}")
    return flag.value


def cache_folder(flag: flags.FlagHolder[str | None]) -> Path:
    """Returns the folder for a cache: the value of the flag, or the user's own folder.

    Raises:
        UserError: If others can write to the folder.
    """
    folder = user_path(flag.value) if flag.value else default_cache_folder()
    check_cache_folder(folder, f"--{flag.name}", is_default=not flag.value)
    return folder


def batch_size(flag: flags.FlagHolder[int]) -> int:
    """Returns a positive number of images, or -1 for all.

    Raises:
        UserError: If the value is out of range.
    """
    if flag.value == -1 or flag.value > 0:
        return flag.value
    raise UserError(f"--{flag.name}={flag.value} must be a number of images, or -1 for all")


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
