"""The way to a phone of ABI arm64-v8a, with made-up libraries: found, looked into, sent, run.

The runner is the stub, a script, which is of no machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cache import file_sha256
from harness.runtime import Runtime, load_runtime
from harness.runtime.folder import describe_file, write_runtime
from harness.virtual_phone import VirtualPhone, start_virtual_phone
from harness.virtual_phone.stub_runtime import make_stub_runtime
from tests.elf_files import X86_64, make_elf, write_qnn_libraries

from .sessions import Bench
from .workplace import RED, Workplace

HTP_ARCH = 79  # of the SM8750
STUB, SKEL = f"libQnnHtpV{HTP_ARCH}Stub.so", f"libQnnHtpV{HTP_ARCH}Skel.so"


@pytest.fixture
def phone(bench: Bench, tmp_path: Path) -> Iterator[VirtualPhone]:
    """It claims to be a real one: neither simulated nor x86-64."""
    profile = tmp_path / "arm64.yaml"
    profile.write_text("soc: SM8750\nsimulated: false\nabi: arm64-v8a\n")
    key = bench.server.public_key_path
    with start_virtual_phone(
        None, "arm64", profile_path=profile, authorized_key=key, fresh=True
    ) as found:
        bench.server.server.connect_tcp(found.serial)
        yield found
        bench.server.server.disconnect(found.serial)


@pytest.fixture
def work(workplace: Workplace) -> Workplace:
    """A model that QNN 2.49.40 compiled, and a Runtime with libraries as new."""
    workplace.write_spec()
    manifest = workplace.write_bundle() / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"qnn": null', '"qnn": "2.49.40"'))
    script = {"default": RED}
    make_stub_runtime(workplace.runtime_dir, script, abi="arm64-v8a", htp_archs=[HTP_ARCH])
    write_qnn_libraries(workplace.runtime_dir, HTP_ARCH)
    describe_again(load_runtime(workplace.runtime_dir), qnn_version="2.49.40")
    return workplace


def describe_again(runtime: Runtime, **facts: str) -> None:
    """The description of a Runtime that its files make now."""
    names = [path.name for path in runtime.dir.iterdir() if path.name != "runtime.json"]
    files = {name: describe_file(runtime.path_of(name)) for name in names}
    write_runtime(replace(runtime, files=files, **facts))


def test_phone_gets_its_libraries_and_runs(
    bench: Bench, work: Workplace, phone: VirtualPhone
) -> None:
    done = bench.run([*work.args, *bench.args(phone)])
    assert done.outcomes()["test_answer[toy-hybrid-red]"] == "passed", done.output
    assert done.exit_status == 0
    stored = {path.name for path in bench.disk("SM8750-arm64").stored()}
    for name in ("vlm_runner", "libQnnHtp.so", "libQnnSystem.so", STUB, SKEL):
        assert file_sha256(work.runtime_dir / name) in stored, name


def give_another_arch(runtime: Runtime) -> None:
    for name in (STUB, SKEL):
        runtime.path_of(name).unlink()
    write_qnn_libraries(runtime.dir, 75)
    describe_again(runtime)


def give_a_stub_of_the_host(runtime: Runtime) -> None:
    runtime.path_of(STUB).write_bytes(make_elf(X86_64, STUB))
    describe_again(runtime)


UNFIT: dict[str, tuple[Callable[[Runtime], None], str]] = {
    "other_arch": (give_another_arch, f"it has no {STUB}"),
    "older_libraries": (
        lambda runtime: describe_again(runtime, qnn_version="2.37.0"),
        "its QNN libraries are 2.37.0, the bundle was compiled with 2.49.40",
    ),
    "stub_of_the_host": (give_a_stub_of_the_host, f"{STUB} is for x86-64, not arm64"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_runtime_that_does_not_fit_is_one_error_before_any_push(
    bench: Bench, work: Workplace, phone: VirtualPhone, name: str
) -> None:
    spoil, said = UNFIT[name]
    spoil(load_runtime(work.runtime_dir))
    done = bench.run([*work.args, *bench.args(phone)])
    assert said in done.only_error()
    assert done.exit_status == 1
    assert bench.disk("SM8750-arm64").stored() == []
