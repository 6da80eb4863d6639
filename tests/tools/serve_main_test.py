"""The server starts, refuses bad requests, reloads its classifier and shuts down gracefully."""

import io
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

from absl.testing import absltest

from retrain.runtimes.graph_def import parse_graph
from tests.support import natural_images, old_graphs, programs, server_process
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
        self.assert_refused("--host=" + 70 * "a", "--host=" + 70 * "a")

    def test_the_admin_port_is_the_next_one_unless_a_flag_names_another(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            self.assert_refused(f"--admin_port={port}", "--port=0", f"--admin_port={port}")
            self.assert_refused(f"--admin_port={port}", f"--port={port - 1}")

    def test_a_proxy_that_is_not_an_address_is_refused(self):
        self.assert_refused("--trusted_proxies=nginx is not", "--port=0", "--trusted_proxies=nginx")

    def test_an_argument_that_is_not_a_flag_is_refused(self):
        self.assert_refused(f"but got {self.graph}; --graph=FILE", self.graph, "--port=0")

    def test_an_allowed_host_that_is_not_a_name_is_refused(self):
        for name in ("photos.example.org:443", "https://photos.example.org", "*", "[::1]"):
            self.assert_refused(
                f"--allowed_hosts={name} is not", "--port=0", f"--allowed_hosts={name}"
            )

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

    def test_an_image_of_none_of_the_classes_is_answered_and_counted(self):
        file = io.BytesIO()
        natural_images.draw(0).save(file, "PNG")
        for flags, is_unknown in (((), True), (("--unknown_below=0",), False)):
            server = self.serve(None, *flags)
            answer = server.request("POST", "/", body=file.getvalue(), Content_Type="image/png")
            (result,) = answer.json["images"]
            self.assertIs(result["unknown"], is_unknown)
            self.assertLess(result["familiarity"], 0.05)
            self.assertLen(result["labels"], 3)
            self.assertEqual(self.label(server), "red")
            metrics = server.admin_request("/metrics").body
            self.assertIn(f"serve_unknown_images_total {is_unknown:d}.0".encode(), metrics)
            state = server.admin_request("/readyz").json
            self.assertEqual(state["unknown_below"], 0.05 if is_unknown else 0)

    def test_a_limit_for_unknown_images_needs_a_classifier_with_familiarity(self):
        old = old_graphs.without_familiarity(self.folder / "old.pb", self.graph)
        self.assert_refused("--unknown_below=0.1 needs", f"--graph={old}", "--unknown_below=0.1")
        self.assert_refused("--unknown_below=2", f"--graph={old}", "--unknown_below=2")
        self.assert_refused("--timeout=nan is not", f"--graph={old}", "--timeout=nan")
        server = self.serve(old)
        self.assertIn("does not state how familiar images are", server.log)
        self.assertIsNone(server.admin_request("/readyz").json["unknown_below"])

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
        reload_error = server.admin_request("/readyz").json["reload_error"]
        self.assertIn("not a classifier", reload_error)
        metrics = server.admin_request("/metrics").body
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

    def test_ctrl_c_and_the_end_of_the_terminal_stop_the_server_with_status_0(self):
        for number in (signal.SIGINT, signal.SIGHUP):
            status, log = self.serve().end(number)
            self.assertEqual(status, 0, log)
            self.assertNotIn("Traceback", log)

    def _connect(self, server: ServerProcess) -> socket.socket:
        return self.enter_context(socket.create_connection(("127.0.0.1", server.port), 60))

    def _send_head(self, server: ServerProcess, length: int) -> socket.socket:
        connection = self._connect(server)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        return connection

    def _read(self, connection: socket.socket) -> bytes:
        return b"".join(iter(lambda: connection.recv(65_536), b""))


if __name__ == "__main__":
    absltest.main()
