"""Formats the text of --help."""

import shutil
import sys
import textwrap

from absl import flags

_INDENT = " " * 6


def help_text(usage: str) -> str:
    """Returns the text of --help for the flags of the program.

    Args:
        usage: Text before the flags.
    """
    columns = min(shutil.get_terminal_size().columns, 100)
    lines = [usage.strip(), "", "Flags:"]
    heading = ""
    for flag in flags.FLAGS.get_key_flags_for_module(sys.argv[0]):
        own_heading = _heading(flag)
        if own_heading not in ("", heading):
            heading = own_heading
            lines += ["", f"{heading}:"]
        lines.append(f"  --{_signature(flag)}")
        lines += textwrap.wrap(
            _description(flag),
            columns,
            initial_indent=_INDENT,
            subsequent_indent=_INDENT,
            break_on_hyphens=False,
        )
    lines += ["", "Other:"] if heading else []
    lines += ["  --version", f"{_INDENT}Print the version and exit."]
    return "\n".join(lines)


def _heading(flag: flags.Flag) -> str:
    """Returns the heading of a flag: HEADING of the module that defines the flag, if it has one."""
    module = flags.FLAGS.find_module_defining_flag(flag.name)
    return getattr(sys.modules.get(module or ""), "HEADING", "")


def _signature(flag: flags.Flag) -> str:
    if flag.boolean:
        return f"[no]{flag.name}" if flag.default else flag.name
    if isinstance(flag.default, float):
        return f"{flag.name}={flag.default:g}"
    default = "" if flag.default in (None, []) else flag.default
    return f"{flag.name}={default}"


def _description(flag: flags.Flag) -> str:
    """Returns the help text of a flag; for an enum, the valid values follow.

    absl adds the values before the text, and a note about repetition after it.
    """
    text = " ".join(str(flag.help).split())
    if isinstance(flag, flags.MultiFlag):
        return text.partition("; repeat this option")[0]
    if isinstance(flag.parser, flags.EnumParser):
        return f"{text.partition('>: ')[2]} One of: {', '.join(flag.parser.enum_values)}."
    return text
