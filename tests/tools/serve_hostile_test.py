"""Hostile requests never cause status 500 and do not make the server's memory grow.

By default, every run sends the same requests. `--requests=10000 --seed=1` sends more and others.
"""

import collections
import itertools
import re
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from absl import flags
from absl.testing import absltest

from tests.support import hostile_requests, server_process

_REQUESTS = flags.DEFINE_integer("requests", 1500, "Number of requests to send.", lower_bound=1000)
_SEED = flags.DEFINE_integer("seed", 0, "Random seed of the requests.")

_CLIENTS = 8
_MAX_GROWTH_MEGABYTES = 40
# 501 is for transfer encodings that the server does not support.
_EXPECTED_STATUSES = {200, 304, 400, 404, 405, 412, 413, 415, 416, 417, 422, 431, 501, 503}


class ServeHostileTest(absltest.TestCase):
    def test_hostile_requests_cause_no_status_500_and_no_memory_growth(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        graph, images = server_process.train_colours(folder)
        server = self.enter_context(
            server_process.ServerProcess(graph, "--timeout=10", "--max_megabytes=2")
        )
        requests = hostile_requests.requests(_SEED.value)
        # During the first requests, the server creates threads and the allocator fills its caches.
        self._send(server, itertools.islice(requests, 700))
        before = server.resident_megabytes()
        counts = self._send(server, itertools.islice(requests, _REQUESTS.value - 700))
        after = server.resident_megabytes()
        print(f"{sum(counts.values())} requests: {sorted(counts.items())}")
        print(f"{before:.0f} MB before, {after:.0f} MB after")
        self.assertContainsSubset(set(counts), {0, *_EXPECTED_STATUSES})
        self.assertGreater(counts[422], 0.1 * sum(counts.values()), "too few requests have images")
        self.assertLess(after - before, _MAX_GROWTH_MEGABYTES)
        self.assertNotIn("defect", server.log)
        self.assertNotIn("Traceback", server.log)
        red = (images / "Red" / "0.jpg").read_bytes()
        answer = server.request("POST", "/?top=1", body=red, Content_Type="image/jpeg")
        self.assertEqual(answer.json["images"][0]["labels"][0]["label"], "red")

    def _send(self, server: server_process.ServerProcess, requests) -> collections.Counter:
        """Returns the number of responses with each status. Status 0 means that there was none."""
        counts: collections.Counter[int] = collections.Counter()
        lock = threading.Lock()

        def client():
            while True:
                with lock:
                    request = next(requests, None)
                if request is None:
                    return
                status = self._status(server, request)
                with lock:
                    counts[status] += 1

        clients = [threading.Thread(target=client) for _ in range(_CLIENTS)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        return counts

    def _status(self, server: server_process.ServerProcess, request: bytes) -> int:
        answer = b""
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            except (ConnectionResetError, BrokenPipeError):
                pass
        # Responses to HTTP/0.9 requests have no status line.
        found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
        return int(found[1]) if found else 0


if __name__ == "__main__":
    absltest.main()
