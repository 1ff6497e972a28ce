"""Which hosts and addresses the server may fetch from."""

import ipaddress
from collections.abc import Iterable

from pipeline.config.hosts import Address, AllowedHost, parse_entry, write_host


class AllowList:
    """The hosts and networks that serve.url_hosts lists."""

    def __init__(self, entries: Iterable[str]) -> None:
        parsed = [parse_entry(entry) for entry in entries]
        self.hosts = [entry for entry in parsed if isinstance(entry, AllowedHost)]
        self._networks = [entry for entry in parsed if not isinstance(entry, AllowedHost)]
        self._addresses = {host.name for host in self.hosts if not host.below}

    def find_host(self, scheme: str, name: str, port: int | None) -> AllowedHost | None:
        """The entry that allows a host at a port (None: the usual one of the scheme), or None."""
        name = write_host(name)
        return next((host for host in self.hosts if host.matches(scheme, name, port)), None)

    def has_address(self, text: str) -> bool:
        """Whether a host of the list may be there: where everybody can see it, or at an address that is listed itself. Else who
        owns a name could let it point into this network, and so open what only this network can see."""
        address = ipaddress.ip_address(text)
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        listed = str(address) in self._addresses or any(address in network for network in self._networks)
        return listed or is_public(address)


def is_public(address: Address) -> bool:
    """Whether the address is one machine of the open internet. What carries an address of IPv4 inside (6to4, NAT64) is not."""
    if isinstance(address, ipaddress.IPv6Address) and (address.sixtofour is not None or address.is_site_local):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)
