"""Computes how long 1, 10 and 100 million images take on a cluster, and what they cost.

    bazel run //tests/benchmarks:scale -- --images_per_cpu_second=141

The first number is what //tests/benchmarks:cluster measures. Prices are examples; set your own.
"""

from typing import NamedTuple

from absl import flags

from retrain.system.program import command_line

_RATE = flags.DEFINE_float(
    "images_per_cpu_second", None, "Images per CPU second of one processor.", required=True
)
_OVERHEAD = flags.DEFINE_float(
    "overhead", 0.2, "Additional time on a cluster, as a fraction of that on one machine."
)
_IMAGE_KB = flags.DEFINE_float("image_kb", 100, "Mean size of an image file in kB.")
_VECTOR_KB = flags.DEFINE_float("vector_kb", 2.7, "Size of an image in a shard in kB.")
_PROCESSORS = flags.DEFINE_integer("processors", 16, "Processors of a machine.")
_HOURS = flags.DEFINE_float("hours", 1, "Hours in which the work is to be done.")
_PROCESSOR_PRICE = flags.DEFINE_float("processor_price", 0.04, "Price of a processor-hour.")
_STORAGE_PRICE = flags.DEFINE_float("storage_price", 0.023, "Price of a GB of storage per month.")
_READ_PRICE = flags.DEFINE_float("read_price", 0.0004, "Price of 1,000 reads from storage.")
_IMAGES_PER_FILE = 2048
_COUNTS = (1_000_000, 10_000_000, 100_000_000)


class _Estimate(NamedTuple):
    images: str
    processor_hours: str
    machines: str
    network: str
    image_storage: str
    bottleneck_storage: str
    files: str
    price: str
    monthly_price: str


def main(_: list[str]) -> None:
    """Prints a table in Markdown."""
    names = (
        "images",
        "processor-hours",
        f"machines of {_PROCESSORS.value} processors for {_HOURS.value:g} h",
        "network per machine",
        "images in storage",
        "bottlenecks in storage",
        "files",
        "price of the run",
        "price of the bottlenecks per month",
    )
    columns = list(zip(*map(_estimate, _COUNTS), strict=True))
    print("| " + " | ".join([names[0], *columns[0]]) + " |")
    print("|---" * (1 + len(_COUNTS)) + "|")
    for name, values in zip(names[1:], columns[1:], strict=True):
        print("| " + " | ".join([name, *values]) + " |")


def _estimate(count: int) -> _Estimate:
    hours = count * (1 + _OVERHEAD.value) / _RATE.value / 3600
    machines = max(1, -(-hours // (_PROCESSORS.value * _HOURS.value)))
    image_gb, vector_gb = count * _IMAGE_KB.value / 1e6, count * _VECTOR_KB.value / 1e6
    seconds = hours / machines / _PROCESSORS.value * 3600
    return _Estimate(
        f"{count // 1_000_000} million",
        f"{hours:,.1f}",
        f"{machines:,.0f}",
        f"{image_gb / machines / seconds * 1000:,.0f} MB/s",
        f"{image_gb:,.0f} GB",
        f"{vector_gb:,.1f} GB",
        f"{-(-count // _IMAGES_PER_FILE):,}",
        f"${hours * _PROCESSOR_PRICE.value + count / 1000 * _READ_PRICE.value:,.2f}",
        f"${vector_gb * _STORAGE_PRICE.value:,.2f}",
    )


if __name__ == "__main__":
    command_line.run(main, __doc__)
