"""Trains an image classifier on a folder of images.

    bazel run //retrain -- --image_dir=DIR

DIR has a sub-folder of images for each class; the names of the sub-folders become the labels. A
pretrained network turns each image into a vector of features, its bottleneck, which is cached. The
last layer of the classifier is trained on these vectors. The run writes the classifier to a file,
and reports its accuracy on images that were held out.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import sys

from absl import flags

from retrain.backbones import engines
from retrain.config import TrainingConfig
from retrain.errors import UserError
from retrain.flags import (
    backbone_flags,
    comparison_flags,
    coreml_flags,
    data_flags,
    distortion_flags,
    fine_tuning_flags,
    head_flags,
    output_flags,
)
from retrain.system.outputs.temporary_folders import temporary_files_of_libraries
from retrain.system.program import command_line

# --help lists the flags in this order.
for _module in (
    data_flags,
    output_flags,
    backbone_flags,
    head_flags,
    distortion_flags,
    fine_tuning_flags,
    comparison_flags,
    coreml_flags,
):
    flags.adopt_module_key_flags(_module)


def main(arguments: list[str]) -> None:
    """Trains a classifier as the flags say."""
    data_flags.refuse_arguments(arguments)
    config = _config()
    # Imported late, so that --help and flag errors need not wait for it.
    from retrain import pipeline

    with temporary_files_of_libraries():
        pipeline.run(config)


def _config() -> TrainingConfig:
    image_dir = data_flags.image_dir()
    distortions = distortion_flags.parse_options(seed=head_flags.seed())
    sgd_flags = output_flags.sgd_flags() + (["distortions_per_image"] if distortions.fresh else [])
    architectures = backbone_flags.architectures()
    config = TrainingConfig(
        image_dir=image_dir,
        split=data_flags.parse_split_options(),
        distortions=distortions,
        head=head_flags.parse_options(other_sgd_flags=sgd_flags),
        output=output_flags.parse_options(),
        fine_tuning=fine_tuning_flags.parse_options(),
        bottleneck_dir=data_flags.bottleneck_dir(),
        shards=data_flags.shards(),
        backbone=backbone_flags.parse_options(architectures[0] if architectures else None),
        engine=backbone_flags.engine(),
        strict=data_flags.strict(),
        test_batch_size=head_flags.test_batch_size(),
        print_misclassified_test_images=output_flags.print_misclassified_test_images(),
        folds=head_flags.folds(),
        architectures=architectures,
        select_architecture=comparison_flags.select_architecture(architectures),
        baseline=comparison_flags.baseline(),
        command_line=tuple(sys.argv[1:]),
    )
    _check_combinations(config)
    return config


def _check_combinations(config: TrainingConfig) -> None:
    quantization = config.output.tflite.quantization
    for flag, value in (("engine", config.engine), ("tflite_quantization", quantization)):
        if config.distortions.fresh and value == engines.INT8:
            raise UserError(
                f"--distortions_per_image=0 cannot be combined with --{flag}={value}; leave one out"
            )
    if config.distortions.fresh and config.architectures:
        raise UserError(
            f"--architecture={','.join(config.architectures)} cannot be combined with "
            "--distortions_per_image=0, which has no cached features to compare the networks by; "
            "leave one out"
        )
    if config.distortions.fresh and config.folds:
        raise UserError(
            f"--folds={config.folds} cannot be combined with --distortions_per_image=0, which has "
            "no cached features to train the folds on; leave one out"
        )
    frequency = config.output.intermediate_store_frequency
    if config.fine_tuning.epochs and frequency:
        raise UserError(
            f"--intermediate_store_frequency={frequency} cannot be combined with "
            f"--fine_tune_epochs={config.fine_tuning.epochs}, which changes the network after "
            "training; leave one out"
        )


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; the previous classifier is unchanged. Run the same command "
        "again to continue: bottlenecks and epochs of fine-tuning are in the cache",
    )
