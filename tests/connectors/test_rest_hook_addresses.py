"""Which addresses a notification may go to."""

import pytest

from healthsync.connectors.rest_hook import AddressRefused, RestHooks, is_public


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.0.0.1", False),
        ("172.16.3.4", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("::ffff:127.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_only_public_addresses_are_sent_to(address, public):
    assert is_public(address) is public


async def test_a_name_that_leads_inside_is_refused_though_it_looks_public():
    hooks = RestHooks(lambda host, port: False)
    with pytest.raises(AddressRefused):
        await hooks.send("POST", "https://localhost/x", [], b"", 2)
    await hooks.close()
