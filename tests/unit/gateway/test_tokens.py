"""Tokens and who is admitted by them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nexus_sched.errors import ConfigInvalid, Forbidden, InvalidInput, Unauthenticated
from nexus_sched.gateway.access import tokens
from nexus_sched.gateway.access.authority import Authority, is_loopback, require
from nexus_sched.gateway.access.roles import OPERATE, Role

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_file_keeps_digests_only_and_gives_rows_back(tmp_path: Path):
    file = tmp_path / "tokens.toml"
    text, row = tokens.create("ci", Role.SUBMITTER, NOW, 60_000)
    tokens.write(file, [row])
    assert tokens.read(file) == [row]
    assert text not in file.read_text()
    assert text.rpartition("_")[2] not in file.read_text()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    "text",
    ["token = 1", "[[token]]\nname = 'x'", "\xff", "[[token]]\nname='x'\nrole='king'\nsha256=''\ncreated=2026-01-01"],
)
def test_file_that_cannot_be_used_is_refused_with_its_name(tmp_path: Path, text: str):
    file = tmp_path / "tokens.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput, match=r"tokens\.toml"):
        tokens.read(file)


def test_token_is_found_until_it_expires_and_no_other_is():
    text, row = tokens.create("ci", Role.SUBMITTER, NOW, 60_000)
    rows = tokens.by_name([row])
    assert tokens.find(rows, text, NOW + timedelta(seconds=59)) == row
    assert tokens.find(rows, text, NOW + timedelta(seconds=60)) is None
    for wrong in (text[:-1], text + "x", text.replace("ci", "di"), "", "nxt__", "x" * 10_000, "nxt_ci_é"):
        assert tokens.find(rows, wrong, NOW) is None


def test_two_tokens_of_one_name_are_both_good_while_it_is_rotated():
    (old_text, old), (new_text, new) = (tokens.create("ci", Role.VIEWER, NOW, None) for _ in range(2))
    rows = tokens.by_name([old, new])
    assert (tokens.find(rows, old_text, NOW), tokens.find(rows, new_text, NOW)) == (old, new)
    assert tokens.find(tokens.by_name([new]), old_text, NOW) is None


def test_name_that_could_hide_in_a_token_is_refused():
    for name in ("", "a_b", "A", "x" * 65, "a\n"):
        with pytest.raises(InvalidInput):
            tokens.create(name, Role.VIEWER, NOW, None)


def test_without_tokens_this_machine_may_look_and_nobody_else_is_admitted():
    authority = Authority(None)
    assert authority.admit(None, "127.0.0.1").role is Role.VIEWER
    assert Authority(None, insecure_no_auth=True).admit(None, "::1").role is Role.ADMIN
    for address in ("10.0.0.1", "", "example.org", "127.0.0.1.example.org"):
        with pytest.raises(Unauthenticated):
            authority.admit(None, address)
    with pytest.raises(Unauthenticated):
        authority.admit("Bearer nxt_ci_x", "127.0.0.1")


@pytest.mark.parametrize("insecure", [False, True])
def test_gateway_without_tokens_does_not_listen_to_the_world(insecure: bool):
    authority = Authority(None, insecure_no_auth=insecure)
    for host in ("0.0.0.0", "::", "10.0.0.1", "example.org", "localhost.example.org"):
        with pytest.raises(ConfigInvalid, match="tokens_file"):
            authority.check_listening(host, "http.host")
    for host in ("127.0.0.1", "::1", "localhost", "127.8.8.8"):
        authority.check_listening(host, "http.host")


def test_file_is_read_again_when_it_changes_and_kept_when_it_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("nexus_sched.gateway.access.authority.LOOK_EVERY_S", 0.0)
    file = tmp_path / "tokens.toml"
    authority = Authority(str(file))
    authority.check_listening("0.0.0.0", "http.host")
    text, row = tokens.create("ci", Role.SUBMITTER, tokens.now_utc(), None)
    with pytest.raises(Unauthenticated):
        authority.admit(f"Bearer {text}", "10.0.0.1")
    tokens.write(file, [row])
    assert authority.admit(f"bearer {text}", "10.0.0.1").name == "ci"
    file.write_text("[[token")
    assert authority.admit(f"Bearer {text}", "10.0.0.1").role is Role.SUBMITTER
    tokens.write(file, [])
    for header in (f"Bearer {text}", f"Basic {text}", "", None):
        with pytest.raises(Unauthenticated):
            authority.admit(header, "10.0.0.1")


def test_role_outside_the_group_is_refused_and_so_is_everybody_of_no_group():
    principal = Authority(None).admit(None, "127.0.0.1")
    for group in (OPERATE, None):
        with pytest.raises(Forbidden, match="viewer may not drain"):
            require(principal, group, "drain")


@pytest.mark.parametrize(
    ("host", "own"),
    [("127.0.0.1", True), ("[::1]", True), ("::ffff:127.0.0.1", True), ("::ffff:10.0.0.1", False), ("0.0.0.0", False)],
)
def test_loopback_is_this_machine_only(host: str, own: bool):
    assert is_loopback(host) is own
