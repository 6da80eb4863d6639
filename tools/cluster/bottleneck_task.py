"""Computes the bottlenecks of images, and writes them to shards."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from retrain.backbones import engines
from retrain.backbones.backbone import Backbone
from retrain.bottlenecks.vector_computer import ImageVectors, VectorComputer
from retrain.data.dataset import ImageFile
from retrain.data.image_traits import TRAITS
from retrain.data.splits import TRAINING
from retrain.shards import merging, schema, shard_files, unreadable_list
from retrain.shards.schema import ShardDescription
from retrain.shards.storage import Storage
from retrain.system.batches import batches
from retrain.system.outputs.temporary_folders import temporary_folder
from retrain.system.threads import parallel_map
from retrain.training_options import NO_DISTORTIONS
from tools.cluster.read_ahead import ImageReader
from tools.cluster.task import ChunkResult, ImageTask, Worker, chunk_name, undecodable_image


@dataclass(frozen=True)
class BottleneckTask(ImageTask):
    """Computes bottlenecks.

    Attributes:
        image_url: Folder or URL of the images.
        output_url: Folder or URL for the shards.
        backbone: Backbone, whose files need not exist on the machine that runs the task.
        engine: Name of the engine.
        network: Content of the file that the engine runs. It is sent with the task, so that all
            machines run the same network.
    """

    image_url: str
    output_url: str
    backbone: Backbone
    engine: str
    network: bytes = dataclasses.field(repr=False)
    noun: ClassVar[str] = "Bottlenecks"

    @classmethod
    def create(
        cls, image_url: str, output_url: str, *, backbone: Backbone, engine: str
    ) -> "BottleneckTask":
        """Reads the network of a backbone.

        Args:
            image_url: Folder or URL of the images.
            output_url: Folder or URL for the shards.
            backbone: Backbone that computes the bottlenecks.
            engine: Name of the engine.
        """
        uses_tflite = engine == engines.FLOAT32 and backbone.tflite_file is not None
        network = backbone.read_tflite() if uses_tflite else backbone.graph_file.read_bytes()
        return cls(image_url, output_url, backbone, engine, network)

    @property
    def description(self) -> ShardDescription:
        """What the metadata of the shards says."""
        return merging.describe(self.backbone, self.engine)

    def start(self) -> "BottleneckWorker":
        """Loads the network."""
        return BottleneckWorker(self)

    def find_results(self, output: Storage) -> list[str]:
        """See the base class."""
        return shard_files.find_shards(output)

    def read_versions(self, output: Storage, name: str) -> Any:
        """See the base class."""
        found = shard_files.read_description(output, name)
        if found != self.description:
            raise merging.other_bottlenecks(output, found, self.description)
        return shard_files.read_columns(output, name, shard_files.VERSION_COLUMNS)


class BottleneckWorker(Worker):
    """Computes bottlenecks with all processors that the process can use."""

    def __init__(self, task: BottleneckTask) -> None:
        """Loads the network that was sent with the task."""
        self._description = task.description
        self._images = Storage(task.image_url, "image_dir")
        self._output = Storage(task.output_url, "bottleneck_dir")
        with temporary_folder() as folder:
            file = folder / "network"
            file.write_bytes(task.network)
            tflite = file if task.backbone.tflite_file is not None else None
            self._backbone = dataclasses.replace(
                task.backbone, graph_file=file, tflite_file=tflite, complete=None
            )
            self._network = engines.create(task.engine, self._backbone).load()

    def process(self, images: Any) -> ChunkResult:
        """Computes the bottlenecks of the images, and writes one shard."""
        rows = range(len(images))
        with ImageReader(self._images, images) as reader:
            computer = VectorComputer(
                # The reader finds images by their index.
                [ImageFile(Path(str(row)), 0, TRAINING, None) for row in rows],
                self._backbone,
                self._network,
                NO_DISTORTIONS,
                stored={},
                read=lambda row: (None, reader.read(row)),
            )
            results = [
                result
                for batch in parallel_map(
                    computer.compute,
                    batches(rows, self._network.batch_size),
                    self._network.workers,
                )
                for result in batch
            ]
        return self._write(images, results)

    def _write(self, images: Any, results: list[ImageVectors]) -> ChunkResult:
        name = chunk_name(images, self._description.recipe)
        done = [result for result in results if result.problem is None]
        undecodable = [
            undecodable_image(images, result.row, sha256=result.digest.hex(), reason=result.problem)
            for result in results
            if result.problem is not None and result.digest
        ]
        missed = [
            (images["name"][result.row].as_py(), result.problem)
            for result in results
            if result.problem is not None and not result.digest
        ]
        # The shard comes last: when it is there, the chunk is complete.
        unreadable_list.write(self._output, name, undecodable)
        if done:
            content = shard_files.encode_shard(
                self._description,
                images.take([result.row for result in done]),
                keys=[result.digest for result in done],
                vectors=np.concatenate([result.vectors for result in done]),
                traits=np.array([result.traits for result in done], TRAITS),
            )
            self._output.write(f"{schema.FILE_PREFIX}{name}{schema.FILE_SUFFIX}", content)
        return ChunkResult(len(done), undecodable, missed)
