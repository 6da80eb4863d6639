"""Kills a program again and again, and counts what is lost."""

import random
import sys
from collections import Counter

from tests.support import killed_program
from tests.support.kill_scenarios import LossError, Scenario
from tests.support.killed_program import Outcome

# Runs without a kill, after each of which nothing must be left behind.
_KILLS_PER_COMPLETE_RUN = 8
# What is counted. The last three must be 0.
COLUMNS = ("killed", "among renames", "completed", "lost or mixed", "failed", "left behind")
PROBLEMS = COLUMNS[3:]


def kill_repeatedly(scenario: Scenario, kills: int, rng: random.Random) -> Counter[str]:
    """Kills a program a number of times, and returns what was counted, keyed by `COLUMNS`.

    Args:
        scenario: The program.
        kills: Number of runs to kill.
        rng: Generator of the moments.
    """
    scenario.prepare()
    counts: Counter[str] = Counter()
    _run_to_end(scenario, counts)
    # This one replaces what the first one wrote, as those do that are killed.
    complete = _run_to_end(scenario, counts)
    for number in range(kills):
        arguments, kind = scenario.arguments(), number % 4
        if kind < 2 and complete.renames:
            at = rng.randint(1, complete.renames)
            outcome = killed_program.run(arguments, scenario.folder, at_rename=at)
        elif kind == 3:
            seconds = rng.uniform(0, complete.seconds)
            outcome = killed_program.run(arguments, scenario.folder, after_seconds=seconds)
        else:
            at = rng.randint(1, max(1, complete.operations))
            outcome = killed_program.run(arguments, scenario.folder, at_operation=at)
        counts["killed" if outcome.is_killed else "completed"] += 1
        counts["among renames"] += scenario.was_interrupted_between_renames()
        _check(scenario, outcome, counts)
        if number % _KILLS_PER_COMPLETE_RUN == _KILLS_PER_COMPLETE_RUN - 1 or number == kills - 1:
            _run_to_end(scenario, counts)
    return counts


def _run_to_end(scenario: Scenario, counts: Counter[str]) -> Outcome:
    outcome = killed_program.run(scenario.arguments(), scenario.folder)
    _check(scenario, outcome, counts)
    if leftovers := scenario.leftovers():
        counts["left behind"] += len(leftovers)
        print(f"left behind: {leftovers}", file=sys.stderr)
    return outcome


def _check(scenario: Scenario, outcome: Outcome, counts: Counter[str]) -> None:
    if outcome.status and not outcome.is_killed:
        counts["failed"] += 1
        print(outcome.status, outcome.message[-20_000:], file=sys.stderr)
    try:
        scenario.check(is_complete=outcome.status == 0)
    except LossError as error:
        counts["lost or mixed"] += 1
        print(f"{type(scenario).__name__}: {error}", file=sys.stderr)
