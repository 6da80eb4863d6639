"""Labels all images of a folder or bucket, on this machine or on a cluster.

    bazel run //tools:label_many -- --graph=m.tflite --image_dir=DIR --results=OUT

Searches DIR and its sub-folders for images. OUT gets Parquet files with the labels and scores of
each image. Both can be local folders or URLs such as s3://bucket/folder. If a run is interrupted,
the same command labels only the images that are missing. Images that cannot be decoded are listed
in _unreadable-*.jsonl in OUT. The exit status is 1 if other images could not be read.
"""

from retrain.system.program import exit_on_signals  # noqa: F401 (first, to handle signals during imports)

# isort: split
from absl import flags

from label_image import classifier_flags
from retrain.flags import values
from retrain.system.program import command_line
from tools.cluster import run_flags

_CLASSIFIER = classifier_flags.define(kinds="a frozen graph, TFLite file or Keras file")
_IMAGE_DIR = flags.DEFINE_string(
    "image_dir", None, "Folder or URL with images, at any depth. Required."
)
_RESULTS = flags.DEFINE_string(
    "results", None, "Folder or URL for the Parquet files with the labels. Required."
)
_NUM_TOP_PREDICTIONS = flags.DEFINE_integer(
    "num_top_predictions", 5, "Number of labels to write for each image.", lower_bound=1
)
flags.adopt_module_key_flags(run_flags)


def main(arguments: list[str]) -> int:
    """Labels images; returns the exit status."""
    values.refuse_arguments(arguments, "--image_dir=DIR sets the folder of images")
    image_dir, results = values.required(_IMAGE_DIR), values.required(_RESULTS)
    machines = run_flags.machines()
    # Imported late, so that --help and flag errors need not wait.
    from retrain.system.outputs import unfinished
    from tools.cluster import image_table, job
    from tools.cluster.label_task import LabelTask

    source = job.open_folder(image_dir, "image_dir", machines)
    output = job.open_folder(results, "results", machines)
    graph = _CLASSIFIER.graph_path()
    unfinished.settle(graph)
    task = LabelTask.create(
        source.url,
        output.url,
        graph=graph,
        overrides=_CLASSIFIER.overrides(),
        num_top_predictions=_NUM_TOP_PREDICTIONS.value,
    )
    output.check_writable()
    return job.run(task, image_table.list_images(source), output, machines)


if __name__ == "__main__":
    command_line.run(
        main,
        __doc__,
        when_interrupted="interrupted; run the same command again to label what is missing",
    )
