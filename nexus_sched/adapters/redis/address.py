"""Where a server is, and how to log in there: `redis://`, `rediss://` (TLS) and `unix://` URLs.

Law: credentials never leave this struct by way of a message, a repr or a log line; `str(address)` is what
people may see.
"""

from __future__ import annotations

import ssl
from urllib.parse import parse_qs, unquote, urlsplit

from msgspec import Struct

from nexus_sched.errors import InvalidInput

PORT_DEFAULT = 6379
_OPTIONS = {"db", "ssl_cert_reqs", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"}


class TlsSettings(Struct, frozen=True):
    """What a `rediss://` URL may say in its query; the names are those of redis-py."""

    verify: bool = True
    authorities: str | None = None  # file of certificates that are trusted instead of the system's
    certificate: str | None = None  # the client's own, for servers that ask for one
    key: str | None = None


class Address(Struct, frozen=True):
    """One server and database. Exactly one of `host` and `path` is set."""

    host: str = ""
    port: int = PORT_DEFAULT
    path: str = ""
    database: int = 0
    tls: TlsSettings | None = None
    username: str = ""
    password: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix://{self.path}" + (f"?db={self.database}" if self.database else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.database}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"

    def ssl_context(self) -> ssl.SSLContext | None:
        """The TLS context to dial with, `None` without TLS. Raises `InvalidInput` for unreadable files."""
        if self.tls is None:
            return None
        try:
            context = ssl.create_default_context(cafile=self.tls.authorities)
            if self.tls.certificate:
                context.load_cert_chain(self.tls.certificate, self.tls.key)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(f"{self}: the TLS files of the URL cannot be used: {error}") from error
        if not self.tls.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def parse_address(url: str) -> Address:
    """The address in `redis://[user:password@]host[:port][/database]`, `rediss://...` or `unix://[...@]/path?db=0`.

    Raises `InvalidInput`, whose message repeats no part of the URL that may hold a password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise InvalidInput("the store's URL cannot be read: host or port is malformed") from None
    options = _options(parts.query)
    username, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        if not parts.path or parts.hostname:
            raise InvalidInput("a unix:// URL needs an absolute path and no host: unix:///run/redis.sock")
        database = _database(options.get("db", ""))
        return Address(path=unquote(parts.path), database=database, username=username, password=password)
    if parts.scheme not in ("redis", "rediss"):
        raise InvalidInput(f"the store's URL has the scheme {parts.scheme!r}; known are redis, rediss and unix")
    if not parts.hostname:
        raise InvalidInput("the store's URL names no host")
    return Address(
        host=parts.hostname,
        port=PORT_DEFAULT if port is None else port,
        database=_database(parts.path.strip("/") or options.get("db", "")),
        tls=_tls(options) if parts.scheme == "rediss" else None,
        username=username,
        password=password,
    )


def _options(query: str) -> dict[str, str]:
    options = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise InvalidInput(f"the store's URL has the unknown option {unknown[0][:40]!r}; known are {sorted(_OPTIONS)}")
    return options


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and len(text) <= 4):
        raise InvalidInput("the store's URL names a database that is not a number")
    return int(text)


def _tls(options: dict[str, str]) -> TlsSettings:
    return TlsSettings(
        verify=options.get("ssl_cert_reqs", "required") != "none",
        authorities=options.get("ssl_ca_certs"),
        certificate=options.get("ssl_certfile"),
        key=options.get("ssl_keyfile"),
    )
