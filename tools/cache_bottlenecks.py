"""Computes the bottlenecks of a data set on this machine or on a cluster, for later trainings.

    bazel run //tools:cache_bottlenecks -- --image_dir=DIR --bottleneck_dir=OUT
    bazel run //retrain -- --image_dir=DIR --bottleneck_dir=OUT

DIR has a sub-folder of images for each class, as for //retrain. OUT gets Parquet files. Both can be
local folders or URLs such as s3://bucket/folder. If a run is interrupted, the same command computes
only what is missing. Images that cannot be decoded are listed in _unreadable-*.jsonl in OUT. The
exit status is 1 if other images could not be read. --engine=auto is float32 here, because the
results must not depend on the machine.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
from absl import flags

from retrain.backbones import engines
from retrain.errors import UserError
from retrain.flags import backbone_flags, values
from retrain.system.files.cache_folder import default_cache_folder
from retrain.system.program import command_line
from tools.cluster import run_flags

_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder or URL with a sub-folder of images for each class. Required."
)
_BOTTLENECK_DIR = flags.DEFINE_string(
    "bottleneck_dir", None, "Folder or URL for the Parquet files with the bottlenecks. Required."
)
flags.adopt_module_key_flags(run_flags)
flags.adopt_module_key_flags(backbone_flags)


def main(arguments: list[str]) -> int:
    """Computes bottlenecks; returns the exit status."""
    values.refuse_arguments(arguments, "--image_dir=DIR sets the folder of images")
    image_dir, bottleneck_dir = values.required(_IMAGE_DIR), values.required(_BOTTLENECK_DIR)
    engine, machines = _engine(), run_flags.machines()
    # Imported late, so that --help and flag errors need not wait.
    from retrain.backbones import registry
    from tools.cluster import image_table, job
    from tools.cluster.bottleneck_task import BottleneckTask

    source = job.open_folder(image_dir, "image_dir", machines)
    output = job.open_folder(bottleneck_dir, "bottleneck_dir", machines)
    backbone = registry.resolve(backbone_flags.parse_options(), default_cache_folder())
    engines.check(engine, backbone)
    task = BottleneckTask.create(source.url, output.url, backbone=backbone, engine=engine)
    output.check_writable()
    return job.run(task, image_table.list_classes(source), output, machines)


def _engine() -> str:
    """Returns the engine, which must compute the same on all machines and for all images."""
    engine = backbone_flags.engine()
    if engine == engines.AUTO:
        return engines.FLOAT32
    if engine not in (engines.FLOAT32, engines.TENSORFLOW):
        raise UserError(
            f"--engine={engine} depends on the machine or on the training images; choose "
            f"{engines.FLOAT32}, the default here, or {engines.TENSORFLOW}"
        )
    return engine


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; run the same command again to compute what is missing",
    )
