"""Tells clients apart, also behind a reverse proxy."""

import contextlib
import ipaddress
from collections.abc import Iterable

from retrain.errors import UserError

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

# An IPv6 client usually has a whole network of this prefix length to itself.
_IPV6_PREFIX = 64


class ClientAddresses:
    """Finds the address of the client that a request comes from."""

    def __init__(self, trusted_proxies: Iterable[str] = ()) -> None:
        """Parses the addresses.

        Args:
            trusted_proxies: Addresses and networks of reverse proxies whose X-Forwarded-For header
                is used.

        Raises:
            UserError: If one is not an address or a network.
        """
        self._trusted = [_parse_network(text) for text in trusted_proxies]

    def is_proxy(self, address: str) -> bool:
        """Returns whether the address belongs to a trusted proxy."""
        parsed = _parse_address(address)
        return parsed is not None and any(parsed in network for network in self._trusted)

    def resolve(self, peer: str, forwarded_for: str) -> str:
        """Returns the address of the client.

        That is the last address that no trusted proxy has.

        Args:
            peer: Address that the connection comes from.
            forwarded_for: Value of the header X-Forwarded-For. Each proxy appends the address that
                it got the request from.
        """
        client = peer
        for address in reversed(forwarded_for.split(",")):
            if not self.is_proxy(client) or _parse_address(address.strip()) is None:
                break
            client = address.strip()
        return client


def client_key(address: str) -> str:
    """Returns what the addresses of one client have in common."""
    parsed = _parse_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return str(parsed)


def _parse_address(text: str) -> _Address | None:
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(text)
        mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
        return mapped or parsed
    return None


def _parse_network(text: str) -> _Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise UserError(
            f"--trusted_proxies={text} is not an address or a network: {error}; expected, for "
            "example, 10.0.0.7 or 10.0.0.0/8"
        ) from error
