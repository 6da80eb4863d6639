"""Checks a folder of images before or after training.

    bazel run //tools:check_images -- --image_dir=DIR

DIR has a sub-folder of images for each class, as for //retrain. The program finds images that
cannot be read, that are in several classes or splits, that probably have the wrong label, that are
blank, dark, blurred, tiny or unlike all others, and classes that are too small. It changes nothing,
unless --fix names the kinds of problems whose images it is to move away. The bottlenecks that it
computes are cached, so that a training does not compute them again.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import logging
from pathlib import Path

from absl import flags

from retrain.data.file_kinds import has_image_name
from retrain.data_check.findings import FIXABLE
from retrain.errors import UserError
from retrain.flags import backbone_flags, data_flags
from retrain.system.outputs.checks import check_writable
from retrain.system.program import command_line
from retrain.system.program.path_flags import optional_path, required_path

_JSON = flags.DEFINE_string("json", None, "File for all findings as JSON.")
_CSV = flags.DEFINE_string("csv", None, "File for a table with a line for each image found.")
_HTML = flags.DEFINE_string("html", None, "File for a report with thumbnails, for browsers.")
_MAX_LISTED = flags.DEFINE_integer(
    "max_listed", 10, "Number of findings of each kind to print.", lower_bound=0
)
_COMPUTE_FEATURES = flags.DEFINE_boolean(
    "compute_features",
    True,
    "Whether to compute bottlenecks that are not in the cache. Without them, labels and outliers "
    "are checked only for images that are in the cache.",
)
_FIX = flags.DEFINE_list(
    "fix",
    [],
    "Kinds of problems whose images are moved to --quarantine_dir, separated by commas, such as "
    "unreadable,duplicate. Of duplicates in the same class, one is kept. By default, nothing is "
    f"moved. Kinds: {', '.join(FIXABLE)}.",
)
_QUARANTINE_DIR = flags.DEFINE_string(
    "quarantine_dir",
    None,
    "Folder for the images that --fix moves, in a new sub-folder for each run. By default, the "
    "image folder with -quarantine after its name.",
)
_UNDO = flags.DEFINE_string(
    "undo",
    None,
    "Undo file of a run with --fix, which it names at its end and which stays in its folder if it "
    "is killed. Moves the images back and does nothing else.",
)

# --help lists the flags of the images and of the network after the program's own.
flags.adopt_module_key_flags(data_flags)
flags.adopt_module_key_flags(backbone_flags)


def main(arguments: list[str]) -> int:
    """Checks, moves or restores images; returns the exit status."""
    data_flags.refuse_arguments(arguments)
    if _UNDO.value is not None:
        from tools.transfers.undo import undo_and_report

        return undo_and_report(required_path(_UNDO))
    image_dir = data_flags.image_dir()
    unknown = [kind for kind in _FIX.value if kind not in FIXABLE]
    if unknown:
        raise UserError(
            f"--fix={','.join(_FIX.value)} has an unknown kind, {unknown[0]}; choose from: "
            f"{', '.join(FIXABLE)}"
        )
    if _QUARANTINE_DIR.value and not _FIX.value:
        raise UserError(
            f"--quarantine_dir={_QUARANTINE_DIR.value} needs --fix, the kinds of problems whose "
            "images are to be moved there"
        )
    outputs = _outputs()
    quarantine_dir = optional_path(_QUARANTINE_DIR) or image_dir.with_name(
        f"{image_dir.name}-quarantine"
    )
    # Imported late, so that --help and flag errors need not wait.
    from retrain.report.html.page import check_replaceable
    from tools.check import html_report, quarantine, result_files, text_report
    from tools.check.data_check import CheckOptions, check_dataset

    if _HTML.name in outputs:
        check_replaceable(outputs[_HTML.name], _HTML.name)
    if _FIX.value:
        quarantine.check_quarantine_folder(quarantine_dir, image_dir)
    result = check_dataset(
        CheckOptions(
            image_dir=image_dir,
            split=data_flags.parse_split_options(),
            bottleneck_dir=data_flags.bottleneck_dir(),
            backbone=backbone_flags.parse_options(),
            engine=backbone_flags.engine(),
            compute_features=_COMPUTE_FEATURES.value,
            strict=data_flags.strict(),
        )
    )
    writers = {
        "json": result_files.write_json,
        "csv": result_files.write_csv,
        "html": html_report.write_html,
    }
    for name, path in outputs.items():
        writers[name](path, result)
    print(text_report.format_text(result, max_listed=_MAX_LISTED.value))
    for path in outputs.values():
        logging.info("Wrote %s", path)
    if not _FIX.value:
        return 0
    counts = quarantine.move_images(result, _FIX.value, quarantine_dir)
    if counts is None:
        logging.info("There are no images to move")
        return 0
    logging.info(
        "Moved %d images to %s; to restore them: --undo=%s",
        counts.moved,
        counts.undo_file.parent,
        counts.undo_file,
    )
    return int(counts.failed > 0)


def _outputs() -> dict[str, Path]:
    """Returns the files to write, by their flags."""
    outputs: dict[str, Path] = {}
    for flag in (_JSON, _CSV, _HTML):
        path = optional_path(flag)
        if path is None:
            continue
        check_writable(path, flag.name)
        if has_image_name(path.name) and path.is_file():
            raise UserError(
                f"--{flag.name}={path} is an image and is not replaced; choose another path"
            )
        for other, other_path in outputs.items():
            if path == other_path:
                raise UserError(
                    f"--{other} and --{flag.name} are both {path}; choose different paths"
                )
        outputs[flag.name] = path
    return outputs


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; no image is lost, and those that --fix moved can be "
        "restored with --undo",
    )
