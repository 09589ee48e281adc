"""A network that fails: a proxy before the server, which cuts the connection when told, in one of several ways."""

import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from psycopg.conninfo import conninfo_to_dict, make_conninfo

# Closing sends a reset, so that what the other side still sends is refused.
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes on what comes, and counts it. Every connection is cut once all of them together have carried so many
    bytes, or so many seconds after the first began: by a reset, or by an end as when the other side said goodbye."""

    def __init__(self, dsn: str) -> None:
        server = conninfo_to_dict(dsn)
        self.address = (server["host"], int(server["port"]))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.dsn = make_conninfo(dsn, host="127.0.0.1", port=self.listener.getsockname()[1])
        self.lock = threading.Lock()
        self.pairs: list[tuple[socket.socket, socket.socket]] = []
        self.plan()
        threading.Thread(target=self.accept, daemon=True).start()

    def plan(self, *, bytes_left: float = float("inf"), seconds: float | None = None, reset: bool = True) -> None:
        """For the connections that are made from now on."""
        self.bytes_left, self.seconds, self.reset = bytes_left, seconds, reset
        self.carried, self.is_cut, self.timer = 0, False, None
        self.began = self.last_carried = None

    @property
    def lasted(self) -> float:
        """Seconds from the first connection to the last byte."""
        return self.last_carried - self.began

    def accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                server = socket.create_connection(self.address)
                with self.lock:
                    if self.is_cut:
                        client.close()
                        server.close()
                        continue
                    self.pairs.append((client, server))
                    self.began = self.began or time.monotonic()
                    if self.seconds is not None and self.timer is None:
                        self.timer = threading.Timer(self.seconds, self.cut)
                        self.timer.start()
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self.carry, args=[source, sink], daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                with self.lock:
                    self.carried, self.last_carried = self.carried + len(data), time.monotonic()
                    passed = data[: max(0, int(min(len(data), self.bytes_left)))]
                    self.bytes_left -= len(data)
                sink.sendall(passed)
                if len(passed) < len(data):
                    self.cut()
            # Goodbye is passed on.
            sink.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        with self.lock:
            self.is_cut, pairs, self.pairs = True, self.pairs, []
        for ends in pairs:
            for end in ends:
                with suppress(OSError):
                    if self.reset:
                        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                    else:
                        end.shutdown(socket.SHUT_RDWR)
                    # Who is reading from it in another thread would keep it open.
                    end.shutdown(socket.SHUT_RD)
                end.close()

    def close(self) -> None:
        if self.timer:
            self.timer.cancel()
        # Wakes up who is waiting in accept().
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()


@contextmanager
def proxied(dsn: str) -> Iterator[Proxy]:
    proxy = Proxy(dsn)
    try:
        yield proxy
    finally:
        proxy.close()
