"""Processes chunks of images on all machines of a Ray cluster.

Ray Data distributes the chunks to actors, of which each uses one processor. It starts more of them
when machines join the cluster, and repeats the chunks of machines that leave it. Images do not pass
through Ray: each actor reads its own, and writes the results.
"""

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from retrain.errors import UserError
from retrain.system import optional_packages
from retrain.system.program.console import quiet_native_libraries
from retrain.system.text import first_line, one_line
from tools.cluster import program_version
from tools.cluster.task import ChunkResult, ImageTask, process_timed

_CONNECT_SECONDS = 10.0
_PROBE_SECONDS = 60.0
_AUTO = "auto"
# The start of every connection to a head node, which uses gRPC (RFC 9113, 3.4): the greeting with
# empty settings, and the type of the answer's first frame, which follows three bytes of its length.
_HTTP2_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_LENGTH_BYTES, _SETTINGS_TYPE = 3, 4
_LOGGING_CONFIG = Path(__file__).with_name("ray_logging.yaml")
_START_COMMAND = "bazel run //tools:ray -- start --address=HOST:6379"


class ChunkActor:
    """Processes chunks on one processor. Ray starts it on each machine."""

    def __init__(self, task: Any, expected: Mapping[str, str]) -> None:
        """Loads the network, unless this machine has another version of the program.

        Args:
            task: Reference to the task in Ray's object store, since networks are large.
            expected: Result of `program_version.describe` on the machine that sends the task.
        """
        import ray

        # The others belong to other actors.
        os.environ["PYTHON_CPU_COUNT"] = "1"
        self._refusal = _refusal(socket.gethostname(), expected, program_version.describe(expected))
        self._worker = None if self._refusal else ray.get(task).start()

    def __call__(self, images: Any) -> Any:
        """Processes a chunk; returns an Arrow table with the pickled result."""
        import pickle

        import pyarrow as pa

        result = pickle.dumps(self._process(images))
        return pa.table({"result": pa.array([result], pa.binary())})

    def _process(self, images: Any) -> ChunkResult:
        if self._worker is None:
            return ChunkResult(error=self._refusal)
        try:
            return process_timed(self._worker, images)
        except UserError as error:
            return ChunkResult(error=str(error))


class Cluster:
    """A connection to a Ray cluster. A context manager, which ends it.

    Attributes:
        processors: Number of processors of the cluster.
    """

    def __init__(self, address: str) -> None:
        """Connects to a cluster.

        Args:
            address: Host and port of the head node, or "auto" for the cluster that this machine
                belongs to.

        Raises:
            UserError: If Ray is not installed, or there is no cluster.
        """
        optional_packages.require("ray", purpose=f"--ray_address={address}")
        _connect(address)
        import ray

        self.processors = int(ray.cluster_resources().get("CPU", 0))
        if not self.processors:
            logging.warning(
                "The cluster has no processors yet. Waiting for a machine to join; start Ray there "
                "with `%s`.",
                _START_COMMAND,
            )

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_: object) -> None:
        import ray

        ray.shutdown()

    def run(self, task: ImageTask, chunks: Iterable[Any]) -> Iterator[ChunkResult]:
        """Yields the result of each chunk, in any order.

        Raises:
            UserError: If a machine has another version of the program, or if the storage or the
                network cannot be used.
        """
        import pickle

        import ray

        expected = program_version.describe(program_version.loaded_modules())
        _check_machines(expected)
        # This machine keeps the task while actors can start.
        task_reference = ray.put(task)
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = False
        results = ray.data.from_arrow(list(chunks)).map_batches(
            ChunkActor,
            fn_constructor_args=(task_reference, expected),
            batch_size=None,
            batch_format="pyarrow",
            zero_copy_batch=True,
            compute=ray.data.ActorPoolStrategy(
                min_size=1,
                initial_size=max(1, self.processors),
                max_tasks_in_flight_per_actor=2,
            ),
            num_cpus=1,
        )
        try:
            with quiet_native_libraries():
                for row in results.iter_rows():
                    result: ChunkResult = pickle.loads(row["result"])
                    if result.error is not None:
                        raise UserError(result.error)
                    yield result
        except ray.exceptions.RayError as error:
            raise UserError(
                f"the cluster could not complete the work ({_last_cause(error)}); run the same "
                "command again, which computes only what is missing"
            ) from error


def _connect(address: str) -> None:
    os.environ.setdefault("RAY_DATA_LOGGING_CONFIG", str(_LOGGING_CONFIG))
    import ray

    if address.startswith("ray://"):
        raise UserError(
            f"--ray_address={address} is the address of a Ray client server; name the head node as "
            "HOST:6379, or run this program on a machine of the cluster with --ray_address=auto"
        )
    if address != _AUTO:
        _check_reachable(address)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            configure_logging=False,
        )
    except (ConnectionError, RuntimeError, ValueError, OSError, ray.exceptions.RayError) as error:
        raise _no_cluster(address, one_line(first_line(error))) from error


def _check_reachable(address: str) -> None:
    """Raises UserError if nothing answers at the address. Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal():
        raise UserError(
            f"--ray_address={address} must be auto, or host and port such as 10.0.0.1:6379"
        )
    target = host.strip("[]"), int(port)
    try:
        with socket.create_connection(target, timeout=_CONNECT_SECONDS) as connection:
            connection.sendall(_HTTP2_GREETING)
            answer = connection.recv(_LENGTH_BYTES + 1)
        is_ray = answer[_LENGTH_BYTES:] == bytes([_SETTINGS_TYPE])
        if not is_ray and not os.environ.get("RAY_USE_TLS"):
            raise OSError("what answers there is not Ray")
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


def _no_cluster(address: str, reason: str) -> UserError:
    return UserError(
        f"--ray_address={address} cannot be reached ({reason}); start a cluster with "
        "`bazel run //tools:ray -- start --head`, or leave out --ray_address to use this machine"
    )


def _check_machines(expected: Mapping[str, str]) -> None:
    """Checks that all machines have the same version of the program.

    Raises:
        UserError: If one has another version.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    describe = ray.remote(num_cpus=0)(program_version.describe)
    machines = {
        node["NodeID"]: node["NodeManagerAddress"]
        for node in ray.nodes()
        if node["Alive"] and node["Resources"].get("CPU")
    }
    probes = {
        machine: describe.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine, soft=False)
        ).remote(list(expected))
        for machine in machines
    }
    for machine, probe in probes.items():
        try:
            found = ray.get(probe, timeout=_PROBE_SECONDS)
        except (ray.exceptions.NodeDiedError, ray.exceptions.TaskUnschedulableError):
            # It has left the cluster.
            continue
        except (ray.exceptions.RayError, TimeoutError, ImportError, RuntimeError) as error:
            raise UserError(
                f"the machine {machines[machine]} of the cluster cannot run this program "
                f"({_last_cause(error)}); start Ray there with `{_START_COMMAND}`"
            ) from error
        if refusal := _refusal(machines[machine], expected, found):
            raise UserError(refusal)


def _refusal(machine: str, expected: Mapping[str, str], found: Mapping[str, str]) -> str | None:
    """Returns why a machine is not used, or None if it can be."""
    modules = {name: found.get(name, "missing") for name in expected}
    different = program_version.difference(expected, modules)
    if different is None:
        return None
    return (
        f"the machine {machine} of the cluster has another version of this program: {different}; "
        "update it there, and start Ray again"
    )


def _last_cause(error: BaseException) -> str:
    """Returns the last line of an error, in which Ray names the cause after a traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(lines[-1]) if lines else type(error).__name__
