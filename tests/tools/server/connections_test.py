"""Connections that wait for their client are closed when there are too many, or after a while."""

from unittest import mock

from absl.testing import absltest, parameterized

from tools.server import connections
from tools.server.connections import Connection, Connections, State
from tools.server.held_bytes import HeldBytes, Holding


class _ConnectionsTestCase(parameterized.TestCase):
    def setUp(self):
        super().setUp()
        self.now = 1000.0
        self.enter_context(mock.patch.object(connections.time, "monotonic", lambda: self.now))
        self.open = Connections(maximum=4, per_client=3, seconds=20)

    def connect(self, key: str | None, state: State = State.HEAD) -> Connection:
        connection = Connection(mock.Mock(), key or "proxy", key)
        self.open.add(connection)
        self.now += 1
        connection.wait_for(state)
        return connection

    def assert_closed(self, *expected: Connection, among: list[Connection]) -> None:
        closed = [other for other in among if other.transport.abort.called]
        self.assertEqual(closed, list(expected))
        self.assertLen(self.open, len(among) - len(expected))


class ConnectionsTest(_ConnectionsTestCase):
    def test_a_client_with_too_many_connections_loses_the_oldest(self):
        made = [self.connect("a") for _ in range(4)]
        self.assert_closed(made[0], among=made)
        self.assertEqual(self.open.closed_early, {"crowded": 1})

    def test_if_there_are_too_many_the_client_with_most_loses_one(self):
        made = [self.connect(key) for key in "baacd"]
        self.assert_closed(made[1], among=made)

    def test_connections_whose_request_is_being_answered_are_kept(self):
        made = [self.connect("a", State.ANSWER) for _ in range(3)]
        made.append(self.connect("a"))
        self.assert_closed(made[3], among=made)

    def test_a_proxy_has_connections_of_many_clients(self):
        made = [self.connect(None) for _ in range(4)]
        self.assert_closed(among=made)

    @parameterized.parameters(
        (State.HEAD, 0, 20),
        (State.BODY, 0, 20),
        (State.BODY, 1_000_000, 40),
        (State.READER, 0, 20),
        (State.READER, 500_000, 30),
        (State.REFUSED, 0, 2),
    )
    def test_clients_that_are_too_slow_are_cut_off(self, state, moved_bytes, seconds):
        connection = self.connect("a", state)
        connection.moved_bytes = moved_bytes
        self.now += seconds - 0.1
        self.open.close_slow()
        self.assert_closed(among=[connection])
        self.now += 0.2
        self.open.close_slow()
        self.assert_closed(connection, among=[connection])

    def test_clients_are_not_cut_off_while_the_application_is_slow(self):
        connection = self.connect("a", State.ANSWER)
        self.now += 1000
        self.open.close_slow()
        self.assert_closed(among=[connection])


class HeldBytesTest(_ConnectionsTestCase):
    def setUp(self):
        super().setUp()
        self.held = HeldBytes(self.open, 100)

    def hold(self, key: str, count: int, state: State = State.BODY) -> tuple[Connection, bool]:
        connection = self.connect(key, state)
        return connection, self.held.add(Holding(connection, key), count)

    def test_a_client_gets_half_of_the_bytes_and_loses_its_oldest_request(self):
        first, first_fits = self.hold("a", 30)
        second, second_fits = self.hold("a", 30)
        self.assertTrue(first_fits and second_fits)
        self.assert_closed(first, among=[first, second])
        self.assertEqual(self.held.total, 30)

    def test_a_request_is_refused_if_all_others_of_its_client_are_being_answered(self):
        first, _ = self.hold("a", 30, State.ANSWER)
        second, fits = self.hold("a", 30)
        self.assertFalse(fits)
        self.assert_closed(among=[first, second])

    def test_if_all_bytes_are_taken_the_client_with_most_loses_a_request(self):
        made = [self.hold(key, 40)[0] for key in "ab"]
        other, fits = self.hold("c", 30)
        self.assertTrue(fits)
        self.assert_closed(made[0], among=[*made, other])

    def test_requests_from_others_do_not_suffer_from_one_that_is_being_answered(self):
        first, _ = self.hold("a", 50, State.ANSWER)
        second, fits = self.hold("b", 50)
        self.assertTrue(fits)
        self.assert_closed(among=[first, second])

    def test_released_bytes_are_free_again(self):
        connection = self.connect("a")
        holding = Holding(connection, "a")
        self.assertTrue(self.held.add(holding, 50))
        self.held.release(holding)
        self.held.release(holding)
        self.assertEqual(self.held.total, 0)
        self.assertTrue(self.held.add(Holding(connection, "a"), 50))

    def test_a_holding_can_be_used_again(self):
        holding = Holding(self.connect("a"), "a")
        self.held.add(holding, 30)
        self.held.release(holding)
        self.held.add(holding, 20)
        self.held.add(Holding(self.connect("b"), "b"), 5)
        self.held.release(holding)
        self.assertEqual(self.held.total, 5)


if __name__ == "__main__":
    absltest.main()
