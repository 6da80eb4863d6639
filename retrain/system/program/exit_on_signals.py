"""Makes Ctrl-C, SIGTERM and SIGHUP end a program that has not started its work.

Main modules import this before anything else. `command_line.run` then starts the work, after which
signals also clean up.
"""

import sys
from types import TracebackType

_show = sys.excepthook


def _show_unless_interrupted(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        _show(kind, error, traceback)


# Until the next import is complete, Ctrl-C raises KeyboardInterrupt.
sys.excepthook = _show_unless_interrupted

from retrain.system.program import interruption  # noqa: E402

interruption.exit_at_once()
