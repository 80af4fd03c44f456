"""Who listens on a port of this machine."""

import contextlib
import socket

import psutil


def holder(port: int) -> str:
    """The program, its process and its user; ``""`` when the port is free."""
    listening = []
    with contextlib.suppress(psutil.Error):  # macOS shows connections to root only
        listening = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr.port == port]
    for each in listening:
        with contextlib.suppress(psutil.Error):
            if each.pid:
                process = psutil.Process(each.pid)
                return f"{process.name()} (process {process.pid}, user {process.username()})"
    return "a program of another user" if listening or _taken(port) else ""


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # what was closed just now does not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False
