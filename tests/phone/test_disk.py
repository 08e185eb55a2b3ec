"""The mapping between the phone's paths and the host's."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import InputError
from harness.virtual_phone.disk import OutputMap, PhoneDisk, open_disk


@pytest.fixture
def disk(tmp_path: Path) -> PhoneDisk:
    found = open_disk(tmp_path, "SM8750-unit", fresh=False)
    found.prepare()
    return found


@pytest.mark.parametrize(
    ("command", "mapped"),
    [
        ("ls /data/local/tmp", "ls @/data/local/tmp"),
        ("'/data/local/tmp/a b'", "'@/data/local/tmp/a b'"),
        ("LD_LIBRARY_PATH=.:/data/x", "LD_LIBRARY_PATH=.:@/data/x"),
        ("cat </proc/uptime>/sdcard/x", "cat <@/proc/uptime>@/sdcard/x"),
        ("/system/bin/sh -c true", "@/system/bin/sh -c true"),
        ("ls /database /mnt/data ./data data/x", "ls /database /mnt/data ./data data/x"),
        ("cat /proc/meminfo", "cat @/proc/meminfo"),
        ("cat /proc/version", "cat /proc/version"),
    ],
)
def test_map_command_rewrites_phone_paths_only(disk: PhoneDisk, command: str, mapped: str) -> None:
    assert disk.map_command(command) == mapped.replace("@", disk.shell_root)


def test_output_map_cut_anywhere_gives_the_same(disk: PhoneDisk) -> None:
    root = str(disk.root_dir)
    text = f"a {root}/data/x {root}\n{root[:-3]} /{root}/sdcard {root}".encode()
    whole = OutputMap(disk)
    expected = whole.feed(text) + whole.flush()
    assert root.encode() not in expected
    for cut in range(len(text)):
        split = OutputMap(disk)
        assert split.feed(text[:cut]) + split.feed(text[cut:]) + split.flush() == expected


def test_output_map_other_bytes_pass_at_once(disk: PhoneDisk) -> None:
    output = OutputMap(disk)
    assert output.feed(b"\x00\xff text $ ") == b"\x00\xff text $ "
    assert not output.holds_back


@pytest.mark.parametrize("path", ["/..", "/../../etc", "relative/../../../x", "//data"])
def test_resolve_stays_on_the_disk(disk: PhoneDisk, path: str) -> None:
    assert disk.resolve(path, follow=True).is_relative_to(disk.root_dir)


def test_resolve_link_out_is_refused(disk: PhoneDisk) -> None:
    (disk.root_dir / "data/local/tmp/out").symlink_to("/etc")
    with pytest.raises(PermissionError):
        disk.resolve("/data/local/tmp/out/passwd", follow=False)


def test_open_disk_in_use_names_the_holder(disk: PhoneDisk, tmp_path: Path) -> None:
    disk.announce(4711)
    with pytest.raises(InputError, match=r"in use by process \d+ on 127\.0\.0\.1:4711"):
        open_disk(tmp_path, "SM8750-unit", fresh=False)


def test_open_disk_after_close_is_free(disk: PhoneDisk, tmp_path: Path) -> None:
    disk.close()
    open_disk(tmp_path, "SM8750-unit", fresh=False).close()


def test_shell_root_of_an_awkward_folder_is_plain(tmp_path: Path) -> None:
    disk = open_disk(tmp_path / "it's a $HOME; dir", "SM8750-unit", fresh=False)
    disk.prepare()
    assert not set(disk.shell_root) & set(" ';$")
    assert (Path(disk.shell_root) / "data/local/tmp").is_dir()
    alias = Path(disk.shell_root)
    disk.close()
    assert not alias.is_symlink()


def test_shell_root_of_a_killed_daemon_is_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "virtual-phone-left"
    left.mkdir()
    (left / "root").symlink_to((tmp_path / "a cache/SM8750-unit/root").resolve())
    open_disk(tmp_path / "a cache", "SM8750-unit", fresh=False).close()
    assert not left.exists()
