"""The server starts, refuses bad requests, reloads its classifier and shuts down gracefully."""

import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

from absl.testing import absltest

from retrain.runtimes.graph_def import parse_graph
from tests.support import programs, server_process
from tests.support.server_process import ServerProcess


class ServeMainTest(absltest.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.graph, images = server_process.train_colours(cls.folder)
        cls.red = (images / "Red" / "0.jpg").read_bytes()

    def serve(self, graph: Path | None = None, *flags: object) -> ServerProcess:
        return self.enter_context(ServerProcess(graph or self.graph, *flags))

    def label(self, server: ServerProcess) -> str:
        answer = server.request("POST", "/?top=1", body=self.red, Content_Type="image/jpeg")
        self.assertEqual(answer.status, 200, answer.body)
        return answer.json["images"][0]["labels"][0]["label"]

    def assert_refused(self, part: str, *flags: object) -> None:
        done = programs.run("serve", *flags, timeout=60)
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertLen(done.stderr.splitlines(), 1, done.stderr)
        self.assertStartsWith(done.stderr, "Error: ")
        self.assertIn(part, done.stderr)

    def test_help_shows_usage_and_flags(self):
        done = programs.run("serve", "--help")
        self.assertEqual(done.returncode, 0)
        self.assertIn("curl -F image=@photo.jpg", done.stdout)
        self.assertIn("--port=5000", done.stdout)

    def test_a_port_in_use_is_refused(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assert_refused(f"--port={port}", f"--graph={self.graph}", f"--port={port}")

    def test_an_address_of_another_machine_is_refused(self):
        self.assert_refused("--host=192.0.2.1", f"--graph={self.graph}", "--host=192.0.2.1")
        self.assert_refused("--host=no.such.host.invalid", "--host=no.such.host.invalid")

    def test_an_argument_that_is_not_a_flag_is_refused(self):
        self.assert_refused(f"but got {self.graph}; --graph=FILE", self.graph, "--port=0")

    def test_a_missing_graph_is_refused(self):
        missing = self.folder / "none.pb"
        self.assert_refused(f"--graph={missing} cannot be read", f"--graph={missing}", "--port=0")

    def test_a_file_that_is_not_a_graph_is_refused(self):
        text = self.folder / "notes.txt"
        text.write_text("not a graph")
        self.assert_refused("is not a classifier", f"--graph={text}", "--port=0")

    def test_a_graph_without_labels_needs_a_labels_file(self):
        graph = parse_graph(self.graph.read_bytes())
        kept = [node for node in graph.node if node.name != "retrain_metadata"]
        del graph.node[:]
        graph.node.extend(kept)
        unlabelled = self.folder / "unlabelled.pb"
        unlabelled.write_bytes(graph.SerializeToString())
        self.assert_refused("--labels is needed", f"--graph={unlabelled}", "--port=0")
        named = self.serve(unlabelled, f"--labels={self.folder / 'labels.txt'}")
        self.assertEqual(self.label(named), "red")

    def test_by_default_the_server_listens_on_the_loopback_address_only(self):
        server = self.serve()
        self.assertIn("http://127.0.0.1:", server.log)
        with self.assertRaises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port)).close()

    def test_a_new_classifier_is_loaded_without_dropping_a_request(self):
        graph = self.folder / "changing.pb"
        shutil.copy(self.graph, graph)
        server = self.serve(graph, "--reload_seconds=0.05")
        stop, labels, failures = threading.Event(), [], []

        def send_requests():
            try:
                while not stop.is_set():
                    labels.append(self.label(server))
            except Exception as error:
                failures.append(error)

        clients = [threading.Thread(target=send_requests) for _ in range(4)]
        for client in clients:
            client.start()
        self._replace(graph, self.graph.read_bytes().replace(b'"red"', b'"rot"'))
        server.wait_for_line("Serving the new .*changing.pb with 3 labels")
        self._replace(graph, b"damaged")
        server.wait_for_line("Warning: The new model is not used.*not a classifier")
        stop.set()
        for client in clients:
            client.join()
        self.assertEmpty(failures)
        self.assertEqual(set(labels), {"red", "rot"})
        self.assertEqual(self.label(server), "rot")
        reload_error = server.request("GET", "/readyz").json["reload_error"]
        self.assertIn("not a classifier", reload_error)
        metrics = server.request("GET", "/metrics").body
        self.assertIn(b"serve_model_failed_reloads_total 1.0", metrics)

    def _replace(self, path: Path, data: bytes) -> None:
        new = path.with_suffix(".new")
        new.write_bytes(data)
        new.replace(path)

    def test_requests_in_progress_are_answered_after_sigterm(self):
        server = self.serve()
        connection = self._send_head(server, len(self.red))
        connection.sendall(self.red[:100])
        # When another connection gets its response, the server has read the bytes sent before.
        self.label(server)
        server.process.send_signal(signal.SIGTERM)
        self._wait_until_refused(server)
        connection.sendall(self.red[100:])
        answer = self._read(connection)
        self.assertStartsWith(answer, b"HTTP/1.1 200 ")
        self.assertIn(b"Connection: close", answer)
        self.assertIn(b'"label":"red"', answer)
        self.assertEqual(server.process.wait(60), 0)
        server.wait_for_line("Stopped after answering all requests in progress")

    def _wait_until_refused(self, server: ServerProcess) -> None:
        while True:
            try:
                socket.create_connection(("127.0.0.1", server.port)).close()
            except ConnectionRefusedError:
                return

    def test_ctrl_c_stops_the_server_with_status_0(self):
        status, log = self.serve().end(signal.SIGINT)
        self.assertEqual(status, 0, log)
        self.assertNotIn("Traceback", log)

    def test_slow_and_idle_connections_are_closed(self):
        server = self.serve(None, "--timeout=0.5")
        slow, idle = self._send_head(server, 1000), self._connect(server)
        self.assertEqual(self._read(slow), b"")
        self.assertEqual(self._read(idle), b"")
        server.wait_for_line("took too long to send")

    def test_oversized_requests_are_refused_in_json_before_they_have_arrived(self):
        server = self.serve(None, "--max_megabytes=0.1")
        declared = self._send_head(server, 100_001)
        self._assert_error(self._read(declared), 413, b"more than 100,000 bytes")
        chunked = self._connect(server)
        chunked.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            chunked.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        self._assert_error(self._read(chunked), 413, b"more than 100,000 bytes")
        headers = self._connect(server)
        headers.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
        self._assert_error(self._read(headers), 431, b"Request Header Fields Too Large")
        wrong = self._connect(server)
        wrong.sendall(b"hello\r\n\r\n")
        self._assert_error(self._read(wrong), 400, b"Bad Request")

    def test_requests_are_refused_while_too_much_data_is_arriving(self):
        server = self.serve(None, "--max_megabytes=0.1")
        for _ in range(16):
            self._send_head(server, 99_000)
        self.label(server)  # At its response, earlier requests are read.
        answer = self._read(self._send_head(server, 100_000))
        self._assert_error(answer, 503, b"receiving too much data")
        self.assertIn(b"\r\nRetry-After: 1\r\n", answer)
        self.assertEqual(self.label(server), "red", "a small request still fits")

    def _connect(self, server: ServerProcess) -> socket.socket:
        return self.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))

    def _send_head(self, server: ServerProcess, length: int) -> socket.socket:
        connection = self._connect(server)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        return connection

    def _read(self, connection: socket.socket) -> bytes:
        return b"".join(iter(lambda: connection.recv(65_536), b""))

    def _assert_error(self, answer: bytes, status: int, part: bytes) -> None:
        self.assertStartsWith(answer, b"HTTP/1.")
        self.assertEqual(int(answer[9:12]), status)
        self.assertIn(b"Content-Type: application/json\r\n", answer)
        self.assertIn(part, answer)


if __name__ == "__main__":
    absltest.main()
