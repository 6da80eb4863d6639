"""Clients that send or read too much, too little or too slowly do not keep others out."""

import json
import re
import shutil
import signal
import socket
import tempfile
import time
from pathlib import Path
from unittest import mock

from absl.testing import absltest, parameterized

from tests.support import hostile_requests, server_attacks, server_process
from tests.support.server_process import ServerProcess
from tools.server.admin_app import create_admin_app

_OTHER_CLIENT = "127.0.0.2"


class ServeLimitsTest(parameterized.TestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.folder = Path(tempfile.mkdtemp())
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.graph, images = server_process.train_colours(cls.folder)
        cls.red = (images / "Red" / "0.jpg").read_bytes()

    def serve(self, *flags: object) -> ServerProcess:
        return self.enter_context(ServerProcess(self.graph, *flags))

    def label(self, server: ServerProcess, *, source: str = "127.0.0.1") -> str:
        connection = server.connect(source=source)
        try:
            connection.request("POST", "/?top=1", self.red, {"Content-Type": "image/jpeg"})
            answer = connection.getresponse()
            body = answer.read()
            self.assertEqual(answer.status, 200, body)
            return json.loads(body)["images"][0]["labels"][0]["label"]
        finally:
            connection.close()

    def connect(self, server: ServerProcess, *, source: str = "127.0.0.1") -> socket.socket:
        return self.enter_context(
            socket.create_connection(("127.0.0.1", server.port), 60, source_address=(source, 0))
        )

    def send_head(self, server: ServerProcess, length: int, **options: str) -> socket.socket:
        connection = self.connect(server, **options)
        head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nContent-Length: {length}"
        connection.sendall(f"{head}\r\n\r\n".encode())
        return connection

    def read(self, connection: socket.socket) -> bytes:
        """Returns everything that the server sends until it closes the connection."""
        received = []
        try:
            while data := connection.recv(65_536):
                received.append(data)
        except ConnectionResetError:
            pass
        return b"".join(received)

    def assert_error(self, answer: bytes, status: int, part: bytes) -> None:
        self.assertStartsWith(answer, b"HTTP/1.")
        self.assertEqual(int(answer[9:12]), status, answer)
        self.assertIn(b"Content-Type: application/json\r\n", answer)
        self.assertIn(part, answer)

    def test_connections_that_are_idle_or_send_slowly_are_closed(self):
        server = self.serve("--timeout=1.5")
        idle, body = self.connect(server), self.send_head(server, 1000)
        head, chunks = self.connect(server), self.connect(server)
        head.sendall(b"GET / HT")
        chunks.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for slow in (head, body):
            slow.sendall(b"X")
        chunks.sendall(b"1\r\nX\r\n")
        for connection in (idle, head, body, chunks):
            self.assertEqual(self.read(connection), b"")
        metrics = server.admin_request("/metrics").body
        self.assertIn(b'serve_connections_closed_early_total{reason="slow"} 4.0', metrics)

    def test_clients_that_do_not_read_are_cut_off(self):
        server = self.serve("--timeout=0.5")
        connection = socket.socket()
        self.addCleanup(connection.close)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        connection.settimeout(20)
        with self.assertRaises((ConnectionResetError, BrokenPipeError)):
            while True:  # Until the server closes the connection.
                connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    def test_oversized_requests_are_refused_in_json_before_they_have_arrived(self):
        server = self.serve("--max_megabytes=0.1")
        declared = self.send_head(server, 100_001)
        self.assert_error(self.read(declared), 413, b"more than 100,000 bytes")
        chunked = self.connect(server)
        chunked.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(11):
            chunked.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
        self.assert_error(self.read(chunked), 413, b"more than 100,000 bytes")
        headers = self.connect(server)
        headers.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 40_000 + b"\r\n\r\n")
        self.assert_error(self.read(headers), 431, b"more than 32,768 bytes")

    @parameterized.named_parameters(hostile_requests.AMBIGUOUS.items())
    def test_ambiguous_requests_are_refused_and_what_follows_is_not_answered(self, request: bytes):
        connection = self.connect(self.server())
        connection.sendall(request + b"GET /labels HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = self.read(connection)
        self.assertStartsWith(answer, b"HTTP/1.1 400 ")
        self.assertEqual(answer.count(b"HTTP/1.1 "), 1, answer)

    @parameterized.parameters("Content-Length: 99999999999", "A_b: 1")
    def test_refused_requests_for_a_head_get_one_without_a_body(self, line: str):
        connection = self.connect(self.server())
        connection.sendall(f"HEAD / HTTP/1.1\r\nHost: x\r\n{line}\r\n\r\n".encode())
        answer = self.read(connection)
        self.assertRegex(answer, rb"^HTTP/1\.1 4\d\d ")
        self.assertEndsWith(answer, b"\r\n\r\n")

    def test_headers_with_the_same_name_are_a_list(self):
        connection = self.connect(self.server())
        accepts = "Accept: text/html\r\nAccept: application/json;q=0.1"
        connection.sendall(
            f"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{accepts}\r\n\r\n".encode()
        )
        self.assertIn(b"Content-Type: text/html", self.read(connection))

    @parameterized.parameters("", "Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n")
    def test_bodies_can_be_empty(self, line: str):
        connection = self.connect(self.server())
        head = (
            f"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\n{line}\r\n"
        )
        connection.sendall(head.encode() + (b"0\r\n\r\n" if "chunked" in line else b""))
        self.assertIn(b"HTTP/1.1 415 ", self.read(connection))

    def test_requests_behind_a_chunked_body_are_answered(self):
        connection = self.connect(self.server())
        first = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        last = b"GET /labels HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        connection.sendall(first + last)
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", self.read(connection)), [b"415", b"200"])

    @classmethod
    def server(cls) -> ServerProcess:
        """Returns a server for all tests that change nothing in it."""
        if not hasattr(cls, "_server"):
            cls._server = cls.enter_context(ServerProcess(cls.graph))
        return cls._server

    def test_requests_in_a_pipeline_are_answered_in_order(self):
        connection = self.connect(self.server())
        paths = ["/healthz", "/labels", "/nothing", "/readyz"]
        for path in paths:
            end = "Connection: close\r\n" if path == paths[-1] else ""
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n{end}\r\n".encode())
        answer = self.read(connection)
        statuses = re.findall(rb"HTTP/1\.1 (\d+)", answer)
        self.assertEqual(statuses, [b"200", b"200", b"404", b"200"])

    def test_bodies_can_be_chunked(self):
        connection = self.connect(self.server())
        head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nConnection: close"
        connection.sendall(f"{head}\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for start in range(0, len(self.red), 100):
            piece = self.red[start : start + 100]
            connection.sendall(f"{len(piece):x};a=b\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\nX-Checksum: 1\r\n\r\n")
        self.assertIn(b'"label":"red"', self.read(connection))

    def test_bodies_in_many_tiny_chunks_are_refused(self):
        connection = self.connect(self.server())
        connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        connection.sendall(b"1\r\nX\r\n" * 2000)
        self.assert_error(self.read(connection), 400, b"chunks of the body are too small")

    def test_a_client_that_closes_its_side_gets_an_answer(self):
        connection = self.send_head(self.server(), len(self.red))
        connection.sendall(self.red)
        connection.shutdown(socket.SHUT_WR)
        self.assertIn(b'"label":"red"', self.read(connection))

    def test_a_client_that_closes_its_side_too_early_gets_no_answer(self):
        connection = self.send_head(self.server(), len(self.red))
        connection.sendall(self.red[:-1])
        connection.shutdown(socket.SHUT_WR)
        self.assertEqual(self.read(connection), b"")

    def test_a_client_that_waits_before_it_sends_a_body_may_send_it(self):
        connection = self.connect(self.server())
        head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: image/jpeg\r\nExpect: 100-continue"
        connection.sendall(f"{head}\r\nContent-Length: {len(self.red)}\r\n\r\n".encode())
        self.assertEqual(connection.recv(1000), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(self.red)
        self.assertStartsWith(connection.recv(1000), b"HTTP/1.1 200 ")

    def test_the_target_of_a_request_can_be_a_url(self):
        connection = self.connect(self.server())
        connection.sendall(
            b"GET http://here/labels?x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        self.assertStartsWith(self.read(connection), b"HTTP/1.1 200 ")

    def test_bodies_that_are_announced_but_not_sent_do_not_count(self):
        server = self.serve("--max_megabytes=0.1", "--queue=0", "--processors=1")
        for _ in range(40):
            self.send_head(server, 99_000)
        self.assertEqual(self.label(server), "red")
        self.assertEqual(self.label(server, source=_OTHER_CLIENT), "red")

    def test_bodies_that_never_become_complete_do_not_keep_others_out(self):
        server = self.serve("--max_megabytes=0.1")
        for _ in range(20):
            self.send_head(server, 100_000).sendall(bytes(99_000))
        self.assertEqual(self.label(server), "red")
        self.assertEqual(self.label(server, source=_OTHER_CLIENT), "red")
        metrics = server.admin_request("/metrics").body.decode()
        held = float(metrics.split("\nserve_held_bytes ")[1].split()[0])
        self.assertLessEqual(held, 400_000)

    @parameterized.parameters(
        "pipelined requests, nothing read",
        "slow heads",
        "slow bodies",
        "idle connections",
        "tiny requests",
        "large answers, read slowly",
    )
    def test_others_are_served_and_the_server_ends_during_an_attack(self, name: str):
        server = self.serve("--timeout=5")
        with server_attacks.running(name, server.port, max_connections=60):
            time.sleep(1)
            for _ in range(3):
                self.assertEqual(self.label(server, source=_OTHER_CLIENT), "red")
                self.assertEqual(server.request("GET", "/healthz").status, 200)
            status, log = server.end(signal.SIGTERM)
        self.assertEqual(status, 0, log)
        self.assertNotIn("defect", log)
        self.assertNotIn("Traceback", log)

    def test_clients_behind_a_trusted_proxy_are_told_apart(self):
        server = self.serve("--trusted_proxies=127.0.0.1,::1")
        server.request("GET", "/labels", X_Forwarded_For="192.0.2.1, 198.51.100.7")
        server.wait_for_line(r'^198\.51\.100\.7 "GET /labels"')
        connection = self.connect(server)
        lines = [f"X-Forwarded-For: {client}" for client in ("192.0.2.1", "203.0.113.9", "::1")]
        head = "\r\n".join(["GET /healthz HTTP/1.1", "Host: x", *lines, "", ""])
        connection.sendall(head.encode())
        server.wait_for_line(r'^203\.0\.113\.9 "GET /healthz"')

    def test_the_local_admin_port_is_only_for_local_names(self):
        server = self.server()
        for host in ("127.0.0.1", f"localhost:{server.admin_port}"):
            self.assertEqual(server.admin_request("/metrics", Host=host).status, 200, host)
        for path in ("/metrics", "/readyz"):
            answer = server.admin_request(path, Host="rebound.example.org")
            self.assertEqual(answer.status, 400)
            self.assertNotIn(b"serve_", answer.body)

    def test_the_local_admin_port_of_ipv6_is_only_for_local_names(self):
        app = create_admin_app(mock.Mock(), mock.Mock(), mock.Mock(), host="::1")
        for host, status in (("[::1]:5001", 404), ("rebound.example.org", 400)):
            self.assertEqual(
                app.test_client().get("/x", headers={"Host": host}).status_code, status
            )

    def test_hosts_that_are_not_allowed_are_refused(self):
        server = self.serve("--allowed_hosts=photos.example.org")
        self.assertEqual(server.request("GET", "/", Host="photos.example.org").status, 200)
        self.assertEqual(server.request("GET", "/", Host="rebound.example.org").status, 400)


if __name__ == "__main__":
    absltest.main()
