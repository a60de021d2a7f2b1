"""TLS of the gRPC server: its own certificate, and the authorities that sign those of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc

from nexus_sched.config.schema import GrpcSection
from nexus_sched.errors import ConfigInvalid
from nexus_sched.gateway.access.authority import Authority, is_loopback


def check_listening(section: GrpcSection, authority: Authority) -> None:
    """Raise `ConfigInvalid` if the section is at odds with itself, or would be open to the world."""
    if section.client_ca_file is not None and section.tls_certificate_file is None:
        raise ConfigInvalid(["`grpc.client_ca_file` needs `grpc.tls_certificate_file`"])
    if (section.tls_key_file is None) != (section.tls_certificate_file is None):
        raise ConfigInvalid(["`grpc.tls_certificate_file` and `grpc.tls_key_file` need each other"])
    if section.client_ca_file is not None:
        return
    authority.check_listening(section.host, "grpc.host")
    if section.tls_certificate_file is None and not is_loopback(section.host):
        raise ConfigInvalid([f"`grpc.host` is {section.host!r}: tokens do not travel in the clear, set TLS files"])


def server_credentials(section: GrpcSection) -> Any:
    """What the server listens with, `None` without TLS. Raises `ConfigInvalid` for files that cannot be used."""
    if section.tls_certificate_file is None or section.tls_key_file is None:
        return None
    pair = (_read("tls_key_file", section.tls_key_file), _read("tls_certificate_file", section.tls_certificate_file))
    roots = None if section.client_ca_file is None else _read("client_ca_file", section.client_ca_file)
    return grpc.ssl_server_credentials([pair], root_certificates=roots, require_client_auth=roots is not None)


def _read(key: str, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigInvalid([f"`grpc.{key}`: {path} cannot be read: {reason}"]) from None
