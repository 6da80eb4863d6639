"""MIGRATION."""

from retrain.runtimes.graph_def import find_metadata as metadata_in  # noqa: F401
