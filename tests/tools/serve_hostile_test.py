"""Hostile requests get an answer that is no 500, and the server's memory does not grow.

The requests are the same in every run; `--requests=10000 --seed=1` sends more, and others.
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

from tests.support import hostile_requests, served

_REQUESTS = flags.DEFINE_integer("requests", 1500, "How many to send.", 1000)
_SEED = flags.DEFINE_integer("seed", 0, "Which.")

_CLIENTS = 8
_MOST_GROWTH = 40  # Megabytes.
# 501 is for encodings that HTTP has and the server has not.
_ANSWERS = {200, 304, 400, 404, 405, 412, 413, 415, 416, 417, 422, 431, 501, 503}


class ServeHostileTest(absltest.TestCase):
    def test_no_500_and_no_growth(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        graph, images = served.train_colours(folder)
        server = self.enter_context(served.Served(graph, "--timeout=10", "--max_megabytes=2"))
        requests = hostile_requests.requests(_SEED.value)
        # Threads, interpreters and the allocator's own stores come with the first ones.
        self._send(server, itertools.islice(requests, 700))
        before = server.resident_megabytes()
        counts = self._send(server, itertools.islice(requests, _REQUESTS.value - 700))
        after = server.resident_megabytes()
        print(f"{sum(counts.values())} requests: {sorted(counts.items())}")
        print(f"{before:.0f} MB before, {after:.0f} MB after")
        self.assertContainsSubset(set(counts), {0, *_ANSWERS})
        self.assertGreater(counts[422], 0.1 * sum(counts.values()), "most are images")
        self.assertLess(after - before, _MOST_GROWTH)
        self.assertNotIn("defect", server.log)
        self.assertNotIn("Traceback", server.log)
        red = (images / "Red" / "0.jpg").read_bytes()
        answer = server.ask("POST", "/?top=1", red, Content_Type="image/jpeg")
        self.assertEqual(answer.json["pictures"][0]["labels"][0]["label"], "red")

    def _send(self, server: served.Served, requests) -> collections.Counter:
        """Returns how often there was which status, 0 standing for no answer."""
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
        for one in clients:
            one.start()
        for one in clients:
            one.join()
        return counts

    def _status(self, server: served.Served, request: bytes) -> int:
        answer = b""
        with socket.create_connection(("127.0.0.1", server.port), 60) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda: connection.recv(65_536), b""))
            except (ConnectionResetError, BrokenPipeError):
                pass
        # A browser of 1995 gets no head, as HTTP/0.9 had it.
        found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
        return int(found[1]) if found else 0


if __name__ == "__main__":
    absltest.main()
