"""What a row needs beside the harness: a phone, servers that are none, signals to one that is."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from harness.device import Deadline, PrivateServer
from harness.virtual_phone import VirtualPhone, start_virtual_phone

# What servers answer that are of no use; nothing, for one that hangs.
SERVER_ANSWERS = {
    "old_server": b"OKAY00040010",
    "other_server": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "mute_server": b"",
}


@contextmanager
def start_phone(
    name: str, server: PrivateServer, faults: tuple[str, ...]
) -> Iterator[VirtualPhone]:
    """A phone that the server has tried to connect to."""
    phone = start_virtual_phone("SM8750", name, faults=faults, timeout_s=60.0)
    with phone:
        with suppress(Exception):
            server.server.ask(f"host:connect:{phone.serial}", Deadline(5.0))
        if "offline" in faults:
            time.sleep(1.0)  # until the server has noticed
        yield phone
        with suppress(Exception):
            server.server.ask(f"host:disconnect:{phone.serial}", Deadline(5.0))


def signal_server(server: PrivateServer, number: int) -> None:
    """A signal to the adb server's own process, a child of the shell that watches over it."""
    shell = server._process.pid
    for child in Path(f"/proc/{shell}/task/{shell}/children").read_text().split():
        with suppress(OSError):  # the watcher beside it comes and goes
            if b"adb" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), number)


@contextmanager
def fake_server(answer: bytes) -> Iterator[int]:
    """A port where something answers that is no adb server we can use."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = threading.Event()

        def serve() -> None:
            held = []
            listener.settimeout(0.1)
            while not ended.is_set():
                with suppress(TimeoutError):
                    link, _ = listener.accept()
                    held.append(link)
                    if answer:
                        link.sendall(answer)
            for link in held:
                link.close()

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        ended.set()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
