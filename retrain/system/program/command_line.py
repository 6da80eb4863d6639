"""Runs the main function of a program: help, version, one-line errors and the exit status."""

import gc
import logging
import math
import re
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import flags

from retrain.errors import UserError
from retrain.system.program import interruption
from retrain.system.program.console import print_library_messages, set_up_messages
from retrain.system.program.help_text import help_text
from retrain.system.program.standard_streams import StandardOutputError
from retrain.system.text import one_line
from retrain.version import VERSION

# By default, Python looks for garbage after each 700 new objects. Importing TensorFlow or Keras
# creates hundreds of thousands of objects that stay, and takes a quarter less time with these.
_GARBAGE_COLLECTION_THRESHOLDS = (50_000, 20, 20)
_HELP_FLAGS = {"-h", "--h", "-help", "--help", "--helpfull", "--helpshort"}
_VERSION_FLAGS = {"-version", "--version"}


def run(
    main: Callable[[list[str]], int | None], usage: str, *, when_interrupted: str = "interrupted"
) -> NoReturn:
    """Calls `main` with the arguments that are not flags, and exits.

    The exit status is what `main` returns. It is 1 if `main` raises UserError, and 128 plus the
    number of the signal if Ctrl-C, SIGTERM or SIGHUP interrupts it; one line on standard error says
    why. It is also 1 if a program that reads the output, such as `head`, has exited. Any other
    exception is a defect: it is printed with a traceback, after the last messages of libraries.

    Args:
        main: Function that returns an exit status, or None for 0.
        usage: Text that `--help` prints before the flags, usually the docstring of the module.
        when_interrupted: Message to print if a signal interrupts the program.
    """
    set_up_messages()
    interruption.raise_exceptions()
    gc.set_threshold(*_GARBAGE_COLLECTION_THRESHOLDS)
    try:
        status = _call(main, usage)
        sys.stdout.flush()
    except BaseException as error:
        interruption.exit_at_once()
        interrupted = interruption.exit_status(error)
        if interrupted is not None:
            has_message = isinstance(error, interruption.Interruption) and error.args
            logging.error("%s", error if has_message else when_interrupted)
            interruption.exit_without_waiting(interrupted)
        elif isinstance(error, UserError):
            if not isinstance(error, StandardOutputError) or not error.reader_exited:
                logging.error("%s", error)
            status = 1
        else:
            if not isinstance(error, SystemExit):
                print_library_messages()
            raise
    interruption.exit_at_once()
    # Without this, Python looks for garbage among all objects of all modules before it exits.
    gc.freeze()
    sys.exit(status)


def _call(main: Callable[[list[str]], int | None], usage: str) -> int:
    arguments = set(_before_double_dash(sys.argv[1:]))
    if _HELP_FLAGS & arguments:
        print(help_text(usage))
        return 0
    if _VERSION_FLAGS & arguments:
        print(f"retrain {VERSION}")
        return 0
    return main(_parse(sys.argv)) or 0


def _before_double_dash(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _parse(argv: list[str]) -> list[str]:
    flags.FLAGS.set_gnu_getopt(True)
    try:
        arguments = flags.FLAGS(argv)[1:]
    except flags.Error as error:
        raise UserError(f"{_in_plain_words(one_line(error))}; --help lists all flags") from error
    for name, value in flags.FLAGS.flag_values_dict().items():
        # The bounds of a flag do not exclude it.
        if isinstance(value, float) and math.isnan(value):
            raise UserError(f"--{name}=nan is not a number; --help lists all flags")
    return arguments


def _in_plain_words(message: str) -> str:
    """Returns an error message of absl without the wording of Python and absl."""
    message = re.sub(r"Unknown command line flag '(.*?)'", r"--\1 is not a flag", message)
    if similar := re.search(r"\. Did you mean: (.*) \?", message):
        names = similar[1].replace(", ", " or --")
        message = f"{message[: similar.start()]}; did you mean --{names}?"
    message = re.sub(
        r"invalid literal for int\(\) with base \d+: .*", "must be a whole number", message
    )
    message = re.sub(r"could not convert string to float: .*", "must be a number", message)
    message = re.sub(r"\('Non-boolean argument .*", "must be true or false", message)
    if values := re.search(r"value should be one of <(.*)>$", message):
        message = f"{message[: values.start()]}must be one of: {values[1].replace('|', ', ')}"
    message = re.sub(r"in the range \[(\S+), (\S+)\]$", r"from \1 to \2", message)
    return re.sub(r"^flag (--\w+=.*): (?:\S+ is not|must be) (.*)", r"\1 must be \2", message)
