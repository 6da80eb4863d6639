"""Labels images with a classifier that retrain trained.

    bazel run //label_image -- --graph=/tmp/output_graph.pb image.jpg another.png

Prints the labels of each image with their scores, best first. If an image looks like none of the
classes, a line after the labels says so. If an image cannot be read, an error message names it, the
other images are labelled, and the exit status is 1.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
import dataclasses
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from absl import flags

from label_image import classifier_flags
from label_image.classifier import Classifier, Overrides, Prediction, UnreadableImage
from label_image.formatting import as_json, as_text
from retrain.errors import UserError
from retrain.system.files.user_paths import user_path
from retrain.system.program import command_line
from retrain.system.text import one_line

_CLASSIFIER = classifier_flags.define()
_IMAGE = flags.DEFINE_multi_string(
    "image", [], "Image to label. Can be repeated. Images can also be passed as arguments."
)
_NUM_TOP_PREDICTIONS = flags.DEFINE_integer(
    "num_top_predictions", 5, "Number of labels to show for each image.", lower_bound=1
)
_JSON = flags.DEFINE_boolean(
    "json", False, "Whether to print a JSON array instead of lines of text."
)
_OUTPUT_LAYER = flags.DEFINE_string(
    "output_layer",
    None,
    "Tensor with the scores. By default, the one that the graph's metadata names, or else "
    "final_result.",
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer",
    None,
    "Tensor to feed: DecodeJpeg/contents:0 with the content of an image file, any other tensor "
    "with pixels. Overrides the graph's metadata.",
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height",
    None,
    "Height of the input images in pixels. Overrides the graph's metadata.",
    lower_bound=1,
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width",
    None,
    "Width of the input images in pixels. Overrides the graph's metadata.",
    lower_bound=1,
)
_HEATMAP = flags.DEFINE_string(
    "heatmap",
    None,
    "PNG file for the image with a heat map over it, which shows where the image looks like its "
    "best label. If the name does not end in .png, it is a folder for one file per image, such as "
    "photo.jpg.png. Only earlier heat maps are overwritten.",
)
_HEATMAP_LABEL = flags.DEFINE_string(
    "heatmap_label", None, "Label of the heat maps, instead of the best one of each image."
)

# The name that the user gave an image, and its result.
Result = tuple[str, Prediction | UnreadableImage]


def main(arguments: list[str]) -> int:
    """Labels the images that the flag and the arguments name; returns the exit status."""
    names = _IMAGE.value + arguments
    if not names:
        raise UserError("no image was given; name one or more, or use --image=FILE")
    if "" in names:
        raise UserError("the name of an image is empty; name one or more, or use --image=FILE")
    images = [user_path(name) for name in names]
    heat_map_paths = _heat_map_paths(images)
    classifier = Classifier(_CLASSIFIER.graph_path(), overrides=_overrides())
    results: Iterable[Result] = zip(names, classifier.classify(images), strict=True)
    if heat_map_paths:
        results = _draw_heat_maps(classifier, results, heat_map_paths)
    if _JSON.value:
        return _print_json(results)
    return _print_text(results, with_names=len(names) > 1, unknown_below=classifier.unknown_below)


def _overrides() -> Overrides:
    return dataclasses.replace(
        _CLASSIFIER.overrides(),
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        height=_INPUT_HEIGHT.value,
        width=_INPUT_WIDTH.value,
    )


def _heat_map_paths(images: list[Path]) -> list[Path]:
    """Returns the path of the heat map of each image, or an empty list if there are none."""
    if not _HEATMAP.value:
        if _HEATMAP_LABEL.value is not None:
            raise UserError(
                f"--heatmap_label={_HEATMAP_LABEL.value} needs --heatmap, the file to write"
            )
        return []
    from label_image import heat_map_files

    return heat_map_files.resolve_paths(user_path(_HEATMAP.value), images, "heatmap")


def _draw_heat_maps(
    classifier: Classifier, results: Iterable[Result], paths: list[Path]
) -> Iterator[Result]:
    """Yields the results, each after its heat map is written.

    Few images have labels but no heat map: those that the graph itself can decode, and Pillow
    cannot. They count as unreadable.
    """
    from label_image import heat_map_files
    from label_image.heat_map_images import HeatMapImages
    from retrain.data.pixels import UnreadableImageError

    images = HeatMapImages(classifier)
    label = _HEATMAP_LABEL.value
    if label is not None:
        images.check_label(label, "heatmap_label")
    for (name, result), path in zip(results, paths, strict=True):
        if isinstance(result, Prediction):
            shown = result.ranked[0][0] if label is None else label
            try:
                (image,) = images.draw(result.source, [shown])
            except UnreadableImageError as error:
                yield name, UnreadableImage(result.source, f"it has no heat map, as {error}")
                continue
            heat_map_files.write(path, image)
            logging.info("Wrote the heat map of %s to %s", one_line(shown), path)
        yield name, result


def _print_text(results: Iterable[Result], *, with_names: bool, unknown_below: float | None) -> int:
    """Prints each result as soon as it is available; returns the exit status."""
    status = 0
    for name, result in results:
        if isinstance(result, UnreadableImage):
            logging.error("%s cannot be labelled: %s", name, result.reason)
            status = 1
            continue
        if with_names:
            print(f"{one_line(name)}:")
        print(as_text(result, _NUM_TOP_PREDICTIONS.value, unknown_below=unknown_below))
        if with_names:
            print()
    return status


def _print_json(results: Iterable[Result]) -> int:
    """Prints one array of all results; returns the exit status."""
    listed = list(results)
    print(as_json(listed, _NUM_TOP_PREDICTIONS.value))
    return int(any(isinstance(result, UnreadableImage) for _, result in listed))


if __name__ == "__main__":
    command_line.run(main, __doc__)
