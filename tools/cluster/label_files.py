"""The Parquet files with the labels of images. All of a folder are of the same classifier."""

import io
from typing import Any

from label_image.classifier import Prediction
from retrain.errors import UserError
from retrain.shards.schema import FormatError
from retrain.shards.shard_files import VERSION_COLUMNS, open_parquet
from retrain.shards.storage import Storage
from retrain.version import VERSION

FILE_PREFIX = "labels-"
FILE_SUFFIX = ".parquet"
_CLASSIFIER_KEY = "retrain_classifier_sha256"


def encode(images: Any, predictions: list[Prediction], *, top: int, classifier: str) -> bytes:
    """Returns the content of a file.

    Args:
        images: Arrow table with the columns of `image_table`.
        predictions: Labels of each image.
        top: Number of labels to write for each image.
        classifier: Text that identifies the classifier and its settings.
    """
    import pyarrow as pa
    from pyarrow import parquet

    ranked = [prediction.ranked[:top] for prediction in predictions]
    table = pa.table(
        {
            **{name: images[name] for name in VERSION_COLUMNS},
            "label": pa.array([best[0][0] for best in ranked], pa.string()),
            "score": pa.array([best[0][1] for best in ranked], pa.float32()),
            "familiarity": pa.array([p.familiarity for p in predictions], pa.float32()),
            "is_unknown": pa.array([p.is_unknown for p in predictions], pa.bool_()),
            "labels": pa.array(
                [[label for label, _ in best] for best in ranked], pa.list_(pa.string())
            ),
            "scores": pa.array(
                [[score for _, score in best] for best in ranked], pa.list_(pa.float32())
            ),
        }
    ).replace_schema_metadata({"retrain_version": VERSION, _CLASSIFIER_KEY: classifier})
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


def find(storage: Storage) -> list[str]:
    """Returns the sorted names of the files with labels in a folder."""
    return storage.find(FILE_PREFIX, FILE_SUFFIX)


def read_versions(storage: Storage, name: str, classifier: str) -> Any:
    """Returns the images that a file has labels of, as an Arrow table with VERSION_COLUMNS.

    Args:
        storage: Folder with results.
        name: Name of the file.
        classifier: As for `encode`, of the labels that are wanted.

    Raises:
        UserError: If the file has labels of another classifier, or cannot be read.
        FormatError: If it is not a complete file of labels.
    """
    with open_parquet(storage, name) as file:
        found = (file.schema_arrow.metadata or {}).get(_CLASSIFIER_KEY.encode(), b"").decode()
        if not found:
            raise FormatError("it has no labels of retrain")
        if found != classifier:
            raise UserError(
                f"--{storage.flag}={storage.url} has labels of another classifier, or by another "
                "--fit, --input_mean, --input_std, --unknown_below or --num_top_predictions; "
                f"choose another --{storage.flag}"
            )
        return file.read(columns=list(VERSION_COLUMNS))
