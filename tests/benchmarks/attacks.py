"""Measures what hostile images and hostile clients cost.

    bazel run //tests/benchmarks:attacks -- --only=images

Prints the memory, the time and the outcome for each hostile image, and what clients of the server
get while others attack it.
"""

from absl import flags

from retrain.system.program import command_line
from tests.benchmarks import image_attacks, server_attacks

_ONLY = flags.DEFINE_enum("only", None, ["images", "server"], "The attacks to run; all by default.")


def main(_: list[str]) -> None:
    """Prints a table for the images, and one for the server."""
    if _ONLY.value != "server":
        image_attacks.run()
    if _ONLY.value != "images":
        server_attacks.run()


if __name__ == "__main__":
    command_line.run(main, __doc__)
