"""A nats-server for tests: where to listen, and whether there is one."""

import os
import pathlib
import socket


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def has_server() -> bool:
    paths = os.environ.get("PATH", "").split(":") + ["/usr/sbin"]
    return any(os.access(pathlib.Path(path) / "nats-server", os.X_OK) for path in paths)
