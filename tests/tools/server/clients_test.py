"""Clients are distinguished by address, also behind trusted proxies."""

from absl.testing import absltest, parameterized

from retrain.errors import UserError
from tools.server.clients import ClientAddresses, client_key


class ClientsTest(parameterized.TestCase):
    @parameterized.parameters(
        ("10.0.0.7", "192.0.2.1", "192.0.2.1"),
        ("10.0.0.7", "198.51.100.1, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.7", "192.0.2.1, 10.1.2.3", "192.0.2.1"),
        ("10.0.0.7", "10.0.0.8,10.0.0.9", "10.0.0.8"),
        ("10.0.0.7", "192.0.2.1, unknown", "10.0.0.7"),
        ("10.0.0.7", "", "10.0.0.7"),
        ("::ffff:10.0.0.7", "2001:db8::1", "2001:db8::1"),
        ("203.0.113.9", "192.0.2.1", "203.0.113.9"),
        ("203.0.113.9", "192.0.2.1, 10.0.0.7", "203.0.113.9"),
    )
    def test_only_trusted_proxies_state_the_client(self, peer, forwarded_for, client):
        addresses = ClientAddresses(["10.0.0.0/8"])
        self.assertEqual(addresses.resolve(peer, forwarded_for), client)

    def test_without_trusted_proxies_headers_do_not_count(self):
        self.assertEqual(ClientAddresses().resolve("127.0.0.1", "192.0.2.1"), "127.0.0.1")

    @parameterized.parameters("proxy.example.org", "10.0.0.7/8", "")
    def test_other_values_than_addresses_are_refused(self, text):
        with self.assertRaisesRegex(UserError, f"--trusted_proxies={text} is not"):
            ClientAddresses([text])

    def test_a_client_has_a_whole_ipv6_network(self):
        self.assertEqual(client_key("2001:db8::1"), client_key("2001:db8::ffff:1"))
        self.assertNotEqual(client_key("2001:db8::1"), client_key("2001:db8:0:1::1"))
        self.assertEqual(client_key("::ffff:192.0.2.1"), client_key("192.0.2.1"))
        self.assertNotEqual(client_key("192.0.2.1"), client_key("192.0.2.2"))


if __name__ == "__main__":
    absltest.main()
