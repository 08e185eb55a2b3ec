from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.device import Device, LocalFile, deploy, pack, push, store, sync
from harness.errors import (
    BundleCorrupt,
    DeviceError,
    DeviceFull,
    DeviceLost,
    TransferCorrupt,
)

FileMaker = Callable[[str, bytes], LocalFile]
Bench = Any  # of conftest.py
BenchStarter = Callable[..., Bench]


def stored(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.store_dir.iterdir())


def test_deploy_twice_sends_once(bench: Bench, make_file: FileMaker) -> None:
    content = os.urandom(3_000_000)
    files = {"a.bin": make_file("a.bin", content), "empty": make_file("empty", b"")}
    first = deploy(bench.device, files)
    second = deploy(bench.device, files)
    assert (first.pushed_bytes, first.pushed_files) == (3_000_000, 2)
    assert (second.pushed_bytes, second.pushed_files, second.present_files) == (0, 0, 2)
    path = bench.store_dir / files["a.bin"].sha256
    assert path.read_bytes() == content
    assert os.access(path, os.X_OK)


def test_deploy_two_names_of_one_content_are_sent_once(
    device: Device, make_file: FileMaker
) -> None:
    content = os.urandom(100)
    stats = deploy(device, {"a": make_file("a", content), "b": make_file("b", content)})
    assert (stats.pushed_bytes, stats.pushed_files) == (100, 1)


def test_deploy_progress_grows_to_the_total(device: Device, make_file: FileMaker) -> None:
    seen: list[tuple[int, int]] = []
    files = {"a": make_file("a", os.urandom(2_500_000)), "b": make_file("b", os.urandom(10))}
    deploy(device, files, on_progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (2_500_010, 2_500_010)


@pytest.mark.parametrize("damage", [b"short", b"same size"], ids=["size", "content"])
def test_deploy_file_changed_in_the_store_is_sent_again(
    bench: Bench, make_file: FileMaker, damage: bytes
) -> None:
    file = make_file("a", b"123456789")
    deploy(bench.device, {"a": file})
    (bench.store_dir / file.sha256).write_bytes(damage)
    assert deploy(bench.device, {"a": file}).pushed_bytes == 9
    assert (bench.store_dir / file.sha256).read_bytes() == b"123456789"


def test_deploy_another_push_under_way_is_left_alone(bench: Bench, make_file: FileMaker) -> None:
    deploy(bench.device, {})
    part = bench.store_dir / "77-abcd.part" / ("0" * 64)
    part.parent.mkdir()
    part.write_bytes(b"half")
    deploy(bench.device, {"a": make_file("a", os.urandom(9))})
    assert part.exists()
    part.unlink()
    part.parent.rmdir()


def test_deploy_wrong_sha256_of_the_local_file_blames_the_bundle(
    bench: Bench, make_file: FileMaker
) -> None:
    wrong = replace(make_file("a", b"content"), sha256="0" * 64)
    with pytest.raises(BundleCorrupt, match="sha256"):
        deploy(bench.device, {"a": wrong})
    assert not (bench.store_dir / ("0" * 64)).exists()


def test_deploy_large_file_is_hashed_as_it_arrives(bench: Bench, make_file: FileMaker) -> None:
    content = os.urandom(pack.FOLLOW_BYTES + 12_345)
    wrong = os.urandom(pack.FOLLOW_BYTES)
    files = {"a": make_file("a", content), "small": make_file("small", b"small")}
    assert deploy(bench.device, files).pushed_files == 2
    assert (bench.store_dir / files["a"].sha256).read_bytes() == content
    with pytest.raises(BundleCorrupt, match="sha256"):
        deploy(bench.device, {"b": replace(make_file("b", wrong), sha256="b" * 64)})
    assert not (bench.store_dir / ("b" * 64)).exists()


def test_deploy_truncated_local_file_blames_the_bundle(
    device: Device, make_file: FileMaker
) -> None:
    file = make_file("a", os.urandom(1000))
    file.path.write_bytes(b"less")
    with pytest.raises(BundleCorrupt, match="4 bytes"):
        deploy(device, {"a": file})


def test_deploy_that_fails_leaves_no_unnamed_files(bench: Bench, make_file: FileMaker) -> None:
    files = {"good": make_file("good", os.urandom(100)), "bad": make_file("bad", os.urandom(100))}
    files["bad"].path.unlink()
    with pytest.raises(BundleCorrupt):
        deploy(bench.device, files)
    assert [name for name in stored(bench) if name.endswith(".part")] == []


def test_deploy_missing_local_file_blames_the_bundle(device: Device) -> None:
    with pytest.raises(BundleCorrupt, match="cannot be read"):
        deploy(device, {"a": LocalFile(Path("/nowhere/a"), "1" * 64, 5)})


@pytest.mark.parametrize("byte", [100, 700], ids=["of the pack", "of the file"])
def test_deploy_byte_changed_on_the_way_is_repaired(
    start_bench: BenchStarter, make_file: FileMaker, byte: int
) -> None:
    bench = start_bench(faults=[f"corrupt_push={byte}"])
    content = os.urandom(1000)
    file = make_file("a", content)
    deploy(bench.device, {"a": file})
    assert (bench.store_dir / file.sha256).read_bytes() == content


def test_deploy_wrong_on_arrival_twice_is_an_error(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench()
    bench.install("sha256sum", f'for f in "$@"; do echo "{"0" * 64}  $f"; done')
    with pytest.raises(TransferCorrupt) as caught:
        deploy(bench.device, {"a": make_file("a", b"content")})
    assert caught.value.serial == bench.device.serial
    assert stored(bench) == []


def test_deploy_device_that_cannot_unpack_says_so(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench()
    bench.install("tar", "echo tar: unfit >&2; exit 1")
    with pytest.raises(TransferCorrupt, match="tar: unfit"):
        deploy(bench.device, {"a": make_file("a", b"content")})


def test_deploy_disk_that_fills_up_while_unpacking_is_full(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench()
    bench.install("tar", "echo tar: No space left on device >&2; exit 1")
    with pytest.raises(DeviceFull):
        deploy(bench.device, {"a": make_file("a", b"content")})
    assert stored(bench) == []


def test_deploy_many_files_of_all_sizes_arrive(bench: Bench, make_file: FileMaker) -> None:
    sizes = (0, 1, 511, 512, 513, 65_536, pack.PACK_BYTES, pack.FOLLOW_BYTES, 9_000_001)
    contents = [os.urandom(size) for size in sizes] + [os.urandom(99) for _ in range(600)]
    files = {str(n): make_file(str(n), content) for n, content in enumerate(contents)}
    deploy(bench.device, files)
    for file in files.values():
        path = bench.store_dir / file.sha256
        assert path.read_bytes() == file.path.read_bytes()
        assert (path.stat().st_mtime, path.stat().st_mode & 0o777) == (store.SEAL_S, 0o755)
    assert deploy(bench.device, files).pushed_files == 0


def test_deploy_one_damaged_file_among_good_ones_is_sent_alone(
    bench: Bench, make_file: FileMaker
) -> None:
    files = {name: make_file(name, os.urandom(50)) for name in ("a", "b", "c")}
    deploy(bench.device, files)
    (bench.store_dir / files["b"].sha256).write_bytes(b"damaged")
    assert deploy(bench.device, files).pushed_files == 1


def test_deploy_more_than_fits_is_refused_before_any_push(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench(faults=["disk_full=18000000"])
    files = {"a": make_file("a", os.urandom(100)), "b": make_file("b", os.urandom(4_000_000))}
    with pytest.raises(DeviceFull, match="needed") as caught:
        deploy(bench.device, files)
    assert caught.value.needed_bytes == 4_000_100
    assert caught.value.free_bytes < 4_000_100
    assert stored(bench) == []


def test_deploy_disk_that_fills_up_meanwhile_is_full(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench(faults=["disk_full=3000000"])
    bench.install("df", "echo Filesystem 1024-blocks Used Available; echo x 9 9 99999999 9% /")
    with pytest.raises(DeviceFull) as caught:
        deploy(bench.device, {"a": make_file("a", os.urandom(8_000_000))})
    assert caught.value.serial == bench.device.serial
    assert stored(bench) == []


def test_deploy_push_without_permission_tells_the_devices_reason(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench(faults=["deny_push=/data/local/tmp"])
    with pytest.raises(DeviceError, match="Permission denied"):
        deploy(bench.device, {"a": make_file("a", b"content")})


def test_deploy_link_lost_in_mid_file_leaves_no_half_file_under_a_valid_name(
    start_bench: BenchStarter, make_file: FileMaker
) -> None:
    bench = start_bench(faults=["drop_after_bytes=2000000"])
    file = make_file("a", os.urandom(8_000_000))
    with pytest.raises(DeviceLost) as caught:
        deploy(bench.device, {"a": file})
    assert caught.value.serial == bench.device.serial
    assert file.sha256 not in stored(bench)


def test_deploy_phone_that_takes_no_more_data_does_not_hang_the_host(
    start_bench: BenchStarter, make_file: FileMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "STALL_S", 0.5)
    monkeypatch.setattr(push, "DROP_S", 0.2)
    bench = start_bench()
    daemon = bench.phone.process
    file = make_file("a", bytes(40_000_000))
    try:
        with pytest.raises(DeviceLost, match="took no data"):
            deploy(
                bench.device,
                {"a": file},
                on_progress=lambda done, total: daemon.send_signal(signal.SIGSTOP),
            )
    finally:
        daemon.send_signal(signal.SIGCONT)
    assert file.sha256 not in stored(bench)
