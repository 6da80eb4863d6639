"""What all programs do with their command line: help, errors of one line, exit status."""

import contextlib
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from typing import NoReturn

from absl import flags

from retrain.errors import UserError
from retrain.system.console import set_up_messages
from retrain.system.text import one_line

_INDENT = " " * 6
_HELP_FLAGS = {"-h", "--h", "-help", "--help", "--helpfull", "--helpshort"}


def run(
    main: Callable[[list[str]], int | None], usage: str, *, when_interrupted: str = "interrupted"
) -> NoReturn:
    """Runs `main` with the arguments that are not flags, and exits with what it returns.

    The status is 0 when all was done, 1 when the user must change something, which one line on
    standard error names, or interrupted the program.

    Args:
        main: returns an exit status, or None for 0.
        usage: what `--help` says before it lists the flags, usually the docstring of the module.
        when_interrupted: what to say when the user stopped the program.
    """
    set_up_messages()
    try:
        if _HELP_FLAGS & set(_before_double_dash(sys.argv[1:])):
            print(_help(usage))
            status = 0
        else:
            status = main(_parse(sys.argv)) or 0
        sys.stdout.flush()
    except UserError as error:
        logging.error("%s", error)
        status = 1
    except KeyboardInterrupt:
        logging.error("%s", when_interrupted)
        status = 1
    except BrokenPipeError:
        # The reader of our output, such as `head`, has left.
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    sys.exit(status)


def _before_double_dash(arguments: list[str]) -> list[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _parse(argv: list[str]) -> list[str]:
    flags.FLAGS.set_gnu_getopt(True)
    try:
        return flags.FLAGS(argv)[1:]
    except flags.Error as error:
        raise UserError(f"{one_line(error)}; --help lists all flags") from error


def _help(usage: str) -> str:
    columns = min(shutil.get_terminal_size().columns, 100)
    lines = [usage.strip(), "", "Flags:"]
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        lines.append(f"  --{_signature(flag)}")
        lines += textwrap.wrap(
            _description(flag), columns, initial_indent=_INDENT, subsequent_indent=_INDENT
        )
    return "\n".join(lines)


def _signature(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"[no]{flag.name}" if flag.default else flag.name
    if isinstance(flag.default, float):
        return f"{flag.name}={flag.default:g}"
    shown = "" if flag.default in (None, []) else flag.default
    return f"{flag.name}={shown}"


def _description(flag: flags.Flag) -> str:
    """Returns the help as it was written, without what absl adds to that of some types."""
    written = " ".join(str(flag.help).split())
    if isinstance(flag, flags.MultiFlag):
        return written.partition("; repeat this option")[0]
    if isinstance(flag.parser, flags.EnumParser):
        return f"{' or '.join(flag.parser.enum_values)}. {written.partition('>: ')[2]}"
    return written
