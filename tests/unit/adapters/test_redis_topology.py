from __future__ import annotations

import pytest

from nexus_sched.adapters.redis.address import Address, TlsSettings
from nexus_sched.adapters.redis.topology import CLUSTER, SENTINEL, Topology, parse_topology, slot_of
from nexus_sched.errors import InvalidInput


@pytest.mark.parametrize(
    ("url", "topology"),
    [
        (
            "redis://h:1/2",
            Topology("", (Address(host="h", port=1, database=2),), Address(host="h", port=1, database=2)),
        ),
        (
            "redis+sentinel://a,b:7/mymaster/3",
            Topology(
                SENTINEL,
                (Address(host="a", port=26_379), Address(host="b", port=7)),
                Address(database=3),
                "mymaster",
            ),
        ),
        (
            "rediss+sentinel://u:p%40@[::1]:1/m?sentinel_username=s&sentinel_password=t%26&ssl_cert_reqs=none",
            Topology(
                SENTINEL,
                (Address(host="::1", port=1, tls=TlsSettings(verify=False), username="s", password="t&"),),
                Address(tls=TlsSettings(verify=False), username="u", password="p@"),
                "m",
            ),
        ),
        (
            "redis+cluster://:p@a,b:7",
            Topology(
                CLUSTER,
                (Address(host="a", password="p"), Address(host="b", port=7, password="p")),
                Address(password="p"),
            ),
        ),
    ],
)
def test_topology_of_a_valid_url_is_read_and_hides_credentials(url: str, topology: Topology) -> None:
    assert parse_topology(url) == topology
    shown = f"{topology} {topology!r} {[topology]}"
    assert not [secret for secret in ("p%40", "p@", ":p", "t&", "u:") if secret in shown.replace(":port", "")]


def test_topology_shown_can_be_read_again() -> None:
    for url in ("redis+sentinel://a:1,[::1]:2/m/3", "redis+cluster://a:1,b:2", "rediss+cluster://a:1", "unix:///s"):
        assert str(parse_topology(url)) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis+sentinel://h",
        "redis+sentinel:///m",
        "redis+sentinel://:secret@h/m/x",
        "redis+sentinel://:secret@h,,i/m",
        "redis+sentinel://:secret@h:port/m",
        "redis+sentinel://:secret@h/m?timeout=3",
        "redis+cluster://:secret@h/1",
        "redis+cluster://",
        "redis+cloud://:secret@h",
        "http+cluster://:secret@h",
        "unix+cluster://h",
    ],
)
def test_topology_of_an_invalid_url_is_refused_without_its_secret(url: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_topology(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("key", "slot"),
    [  # as CLUSTER KEYSLOT says
        (b"", 0),
        (b"123456789", 12_739),
        (b"{nx:default:0}:meta", slot_of(b"nx:default:0")),
        (b"foo{}{bar}", 8_363),
        (b"foo{{bar}}zap", 4_015),
        (b"{user1000}.following", 3_443),
        (b"a}b{c}", slot_of(b"c")),
        (b"open{ended", slot_of(b"open{ended")),
    ],
)
def test_slot_is_that_of_the_hash_tag(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot
