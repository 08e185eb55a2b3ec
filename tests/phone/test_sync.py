"""Files to and from a virtual phone, through a real adb."""

from __future__ import annotations

import os
import socket
import struct
from pathlib import Path

import pytest

from .conftest import ConnectedPhone

TMP = "/data/local/tmp"


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("empty.bin", b""),
        ("one.bin", b"\x00"),
        ("large.bin", os.urandom(5_000_001)),
        ("größe 日本 'quoted'.bin", b"named"),
    ],
    ids=["empty", "one-byte", "several-packets", "odd-name"],
)
def test_push_then_pull_gives_the_same_bytes(
    shared_phone: ConnectedPhone, tmp_path: Path, name: str, data: bytes
) -> None:
    there, back = tmp_path / name, tmp_path / "back"
    there.write_bytes(data)
    assert shared_phone.run("push", str(there), f"{TMP}/new/dir/{name}").returncode == 0
    assert shared_phone.run("pull", f"{TMP}/new/dir/{name}", str(back)).returncode == 0
    assert back.read_bytes() == data


def test_push_keeps_mode_and_time(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho ran\n")
    tool.chmod(0o755)
    os.utime(tool, (1_700_000_000, 1_700_000_000))
    shared_phone.run("push", str(tool), f"{TMP}/tool")
    assert shared_phone.text(f"{TMP}/tool") == "ran"
    assert shared_phone.text(f"stat -c '%a %Y' {TMP}/tool") == "755 1700000000"


def test_push_and_pull_of_a_folder(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    for number in range(20):
        (source / "sub" / f"f{number}").write_text(str(number))
    shared_phone.run("push", str(source), f"{TMP}/tree")
    shared_phone.run("pull", f"{TMP}/tree", str(tmp_path / "back"))
    found = {path.name: path.read_text() for path in (tmp_path / "back/sub").iterdir()}
    assert found == {f"f{number}": str(number) for number in range(20)}


def test_push_replaces_a_file(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    for text in ("a longer first text", "short"):
        (tmp_path / "f").write_text(text)
        shared_phone.run("push", str(tmp_path / "f"), f"{TMP}/replaced")
    assert shared_phone.text(f"cat {TMP}/replaced") == "short"


def test_pull_of_a_missing_file_fails(shared_phone: ConnectedPhone, tmp_path: Path) -> None:
    result = shared_phone.run("pull", f"{TMP}/not-there", str(tmp_path))
    assert result.returncode != 0
    assert b"No such file or directory" in result.stderr


@pytest.mark.parametrize("target", ["/etc/made", "/system/bin/made", "/../made", f"{TMP}/../made"])
def test_push_outside_the_writable_places_is_refused(
    shared_phone: ConnectedPhone, tmp_path: Path, target: str
) -> None:
    (tmp_path / "f").write_text("x")
    result = shared_phone.run("push", str(tmp_path / "f"), target)
    assert result.returncode != 0
    assert b"Read-only file system" in result.stderr + result.stdout


def test_push_through_a_link_out_of_the_phone_is_refused(
    shared_phone: ConnectedPhone, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (tmp_path / "f").write_text("x")
    shared_phone.text(f"ln -sfn {outside} {TMP}/way-out")
    result = shared_phone.run("push", str(tmp_path / "f"), f"{TMP}/way-out/f")
    assert result.returncode != 0
    assert list(outside.iterdir()) == []


def test_pull_through_a_link_out_of_the_phone_is_refused(
    shared_phone: ConnectedPhone, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    shared_phone.text(f"ln -sfn {secret} {TMP}/peek")
    result = shared_phone.run("pull", f"{TMP}/peek", str(tmp_path / "got"))
    assert result.returncode != 0
    assert not (tmp_path / "got").exists()


@pytest.mark.parametrize("path", ["/../../../../etc/passwd", "/etc/passwd", f"{TMP}/../../../../x"])
def test_pull_of_a_host_file_finds_nothing(
    shared_phone: ConnectedPhone, tmp_path: Path, path: str
) -> None:
    assert shared_phone.run("pull", path, str(tmp_path / "got")).returncode != 0
    assert not (tmp_path / "got").exists()


class _SyncClient:
    """Raw sync requests over the adb server's socket: adb's own client hides STAT."""

    def __init__(self, phone: ConnectedPhone) -> None:
        self._socket = socket.create_connection(("127.0.0.1", phone.adb.port), timeout=10)
        for request in (f"host:transport:{phone.phone.serial}", "sync:"):
            self._socket.sendall(f"{len(request):04x}{request}".encode())
            assert self.read(4) == b"OKAY"

    def read(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = self._socket.recv(count - len(data))
            assert piece, "the phone hung up"
            data += piece
        return data

    def ask(self, name: bytes, path: str) -> None:
        encoded = path.encode()
        self._socket.sendall(name + struct.pack("<I", len(encoded)) + encoded)

    def close(self) -> None:
        self._socket.close()


def test_stat_of_a_file_tells_its_size(shared_phone: ConnectedPhone) -> None:
    shared_phone.text(f"printf 12345 > {TMP}/five")
    client = _SyncClient(shared_phone)
    client.ask(b"STAT", f"{TMP}/five")
    name, mode, size, _mtime = struct.unpack("<4sIII", client.read(16))
    client.ask(b"STA2", f"{TMP}/five")
    second = struct.unpack("<4sIQQIIIIQqqq", client.read(72))
    client.close()
    assert (name, size, mode & 0o170000) == (b"STAT", 5, 0o100000)
    assert (second[0], second[1], second[8]) == (b"STA2", 0, 5)


def test_stat_of_a_missing_file_says_so(shared_phone: ConnectedPhone) -> None:
    client = _SyncClient(shared_phone)
    client.ask(b"STAT", f"{TMP}/not-there")
    assert client.read(16) == b"STAT" + bytes(12)
    client.ask(b"LST2", f"{TMP}/not-there")
    answer = struct.unpack("<4sIQQIIIIQqqq", client.read(72))
    client.close()
    assert answer[:2] == (b"LST2", 2)


def test_list_names_what_is_there(shared_phone: ConnectedPhone) -> None:
    shared_phone.text(f"mkdir -p {TMP}/listed; touch {TMP}/listed/a {TMP}/listed/ö")
    listing = shared_phone.run("ls", f"{TMP}/listed").stdout.decode()
    assert {line.split()[-1] for line in listing.splitlines()} >= {"a", "ö"}
