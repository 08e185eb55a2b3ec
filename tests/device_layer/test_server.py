from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.device import PrivateServer, adb_program, connect_server, server
from harness.device.server import probe_server
from harness.errors import AdbError, DeviceNotFound

WaitUntil = Callable[[Callable[[], bool], str], None]


def answers(port: int) -> bool:
    try:
        probe_server("127.0.0.1", port)
    except (OSError, EOFError):
        return False
    return True


@pytest.fixture
def silent_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def test_connect_server_running_one_is_found(private: PrivateServer) -> None:
    found = connect_server(private.server.host, private.server.port)
    assert found == private.server
    assert found.version >= 41


def test_connect_server_silent_address_is_an_error_and_starts_nothing(silent_port: int) -> None:
    with pytest.raises(AdbError, match="nothing listens") as caught:
        connect_server("127.0.0.1", silent_port)
    assert f"-P {silent_port} start-server" in str(caught.value)
    assert not answers(silent_port)


def test_connect_server_default_address_without_one_starts_one(
    silent_port: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wait_until: WaitUntil
) -> None:
    monkeypatch.setattr(server, "DEFAULT_PORT", silent_port)
    for name in ("ANDROID_ADB_SERVER_HOST", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": str(tmp_path), "ADB_LIBUSB": "0", "ADB_MDNS": "0"}.items():
        monkeypatch.setenv(name, value)
    started = connect_server()
    try:
        assert started.port == silent_port
    finally:
        with started.open(server.Deadline(5)) as connection:
            connection.request("host:kill")
    wait_until(lambda: not answers(silent_port), "the end of the server")


def test_connect_server_something_else_answers_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(AdbError, match="no adb server"):
            connect_server("127.0.0.1", listener.getsockname()[1])
        thread.join()


def test_connect_server_too_old_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            peer, _ = listener.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"OKAY00040020")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(AdbError, match=r"1\.0\.32"):
            connect_server("127.0.0.1", listener.getsockname()[1])
        thread.join()


def test_adb_program_wrong_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADBUTILS_ADB_PATH", "/nowhere/adb")
    with pytest.raises(AdbError, match="/nowhere/adb"):
        adb_program()


def test_adb_program_none_in_path_is_the_bundled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADBUTILS_ADB_PATH", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    assert adb_program().parts[-3:] == ("adbutils", "binaries", "adb")


def test_private_server_after_stop_is_gone(own_server: PrivateServer) -> None:
    assert answers(own_server.server.port)
    assert own_server.public_key_path.is_file()
    own_server.stop()
    own_server.stop()
    assert not answers(own_server.server.port)


def test_private_server_of_a_killed_process_dies_too(tmp_path: Path, wait_until: WaitUntil) -> None:
    code = (
        "import sys, time; from pathlib import Path; from harness.device import *\n"
        "print(start_private_server(Path(sys.argv[1])).server.port, flush=True); time.sleep(60)"
    )
    argv = [sys.executable, "-c", code, tmp_path]
    repository = Path(__file__).resolve().parents[2]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, cwd=repository) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert answers(port)
        process.kill()
    wait_until(lambda: not answers(port), "the end of the server")


def test_connect_tcp_nothing_there_is_not_found(private: PrivateServer, silent_port: int) -> None:
    with pytest.raises(DeviceNotFound) as caught:
        private.server.connect_tcp(f"127.0.0.1:{silent_port}")
    assert caught.value.serial == f"127.0.0.1:{silent_port}"
