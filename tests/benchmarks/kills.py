"""Kills all programs at any moment, and checks that nothing is lost or mixed.

    bazel run //tests/benchmarks:kills -- --kills=500

Half of the kills are before a file is renamed, as when outputs are replaced. The others are before
any file operation, or at any time. Works only in a temporary folder. Exits
with 1 if anything was lost, mixed or left behind, or if a later run failed.
"""

import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from absl import flags

from retrain.system.program import command_line
from tests.support import kill_scenarios
from tests.support.repeated_kills import COLUMNS, PROBLEMS, kill_repeatedly

_KILLS = flags.DEFINE_integer("kills", 500, "Number of kills in all programs.", lower_bound=1)
_ONLY = flags.DEFINE_list("only", [], "Programs to kill, instead of all.")
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the moments.")


def main(_: list[str]) -> int:
    """Prints a table, with a row for each program; returns the exit status."""
    total: Counter[str] = Counter()
    print(f"{'program':22}" + "".join(f"{column:>15}" for column in (*COLUMNS, "seconds")))
    for name, (kind, share) in kill_scenarios.SCENARIOS.items():
        if _ONLY.value and name not in _ONLY.value:
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            kill_scenarios.state_folder(Path(folder, "state"))
            work = Path(folder, "work")
            work.mkdir()
            kills = max(1, round(_KILLS.value * share))
            counts = kill_repeatedly(kind(work), kills, random.Random(_SEED.value))
        _print_row(name, counts, time.monotonic() - start)
        total += counts
    _print_row("all", total)
    return int(any(total[column] for column in PROBLEMS))


def _print_row(name: str, counts: Counter[str], seconds: float | None = None) -> None:
    cells = "".join(f"{counts[column]:15}" for column in COLUMNS)
    print(f"{name:22}{cells}" + ("" if seconds is None else f"{seconds:15.0f}"), flush=True)


if __name__ == "__main__":
    command_line.run(main, __doc__)
