"""Labels images with a classifier that retrain made.

    bazel run //label_image -- --graph=/tmp/output_graph.pb picture.jpg another.png

The labels, best first, go to standard output. An image that cannot be read is named, the others
are still labelled, and the exit status is 1.
"""

import logging

from absl import flags

from label_image.classifier import Classifier, Overrides, Prediction, UnreadableImage
from label_image.formatting import as_json, as_text
from retrain.errors import UserError
from retrain.system import command_line
from retrain.system.files import user_path
from retrain.system.text import one_line

_GRAPH = flags.DEFINE_string(
    "graph",
    "/tmp/output_graph.pb",
    "The classifier: a frozen graph, as retrain writes it, or a TFLite file.",
)
_IMAGE = flags.DEFINE_multi_string(
    "image", [], "An image to label. More can be given as plain arguments."
)
_NUM_TOP_PREDICTIONS = flags.DEFINE_integer(
    "num_top_predictions", 5, "How many labels to show for an image.", lower_bound=1
)
_JSON = flags.DEFINE_boolean("json", False, "Print a JSON array instead of lines of text.")
_LABELS = flags.DEFINE_string(
    "labels",
    None,
    "A file with one label a line. Needed only for a graph that does not carry its labels.",
)
_OUTPUT_LAYER = flags.DEFINE_string(
    "output_layer", None, "The tensor of the scores, where the graph does not name it."
)
_INPUT_LAYER = flags.DEFINE_string(
    "input_layer",
    None,
    "The tensor to feed: DecodeJpeg/contents:0 takes the bytes of a file, others take pixels. By "
    "default the graph's own description decides.",
)
_INPUT_HEIGHT = flags.DEFINE_integer(
    "input_height", None, "Height of the pixels to feed, where the graph does not say.", 1
)
_INPUT_WIDTH = flags.DEFINE_integer(
    "input_width", None, "Width of the pixels to feed, where the graph does not say.", 1
)
_INPUT_MEAN = flags.DEFINE_float(
    "input_mean", None, "Subtracted from each pixel, where the graph does not say."
)
_INPUT_STD = flags.DEFINE_float(
    "input_std", None, "Divides each pixel then, where the graph does not say."
)


def main(arguments: list[str]) -> int:
    """Labels the images named by the flag and the arguments; returns the exit status."""
    names = _IMAGE.value + arguments
    if not names:
        raise UserError("no image was given; name one or more, or use --image=FILE")
    if _INPUT_STD.value == 0:
        raise UserError("--input_std=0 would divide by zero; give what pixels are divided by")
    classifier = Classifier(user_path(_GRAPH.value), _overrides())
    answers = zip(names, classifier.classify(map(user_path, names)), strict=True)
    return _print_json(answers) if _JSON.value else _print_text(answers, len(names) > 1)


def _overrides() -> Overrides:
    return Overrides(
        labels_file=user_path(_LABELS.value) if _LABELS.value else None,
        input_layer=_INPUT_LAYER.value,
        output_layer=_OUTPUT_LAYER.value,
        height=_INPUT_HEIGHT.value,
        width=_INPUT_WIDTH.value,
        mean=_INPUT_MEAN.value,
        std=_INPUT_STD.value,
    )


def _print_text(answers: "zip[tuple[str, Prediction | UnreadableImage]]", with_names: bool) -> int:
    status = 0
    for name, answer in answers:
        if isinstance(answer, UnreadableImage):
            logging.error("%s cannot be labelled: %s", name, answer.reason)
            status = 1
            continue
        if with_names:
            print(f"{one_line(name)}:")
        print(as_text(answer, _NUM_TOP_PREDICTIONS.value))
        if with_names:
            print()
    return status


def _print_json(answers: "zip[tuple[str, Prediction | UnreadableImage]]") -> int:
    listed = list(answers)
    print(as_json(listed, _NUM_TOP_PREDICTIONS.value))
    return int(any(isinstance(answer, UnreadableImage) for _, answer in listed))


if __name__ == "__main__":
    command_line.run(main, __doc__)
