"""Does a Runtime fit a device and a bundle? Asked on the host, before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Iterator

from harness.errors import RuntimeFolderError
from harness.runtime.elf import ElfFacts, read_elf, read_machine
from harness.runtime.folder import Runtime

# e_machine of the ELF header, by ABI.
MACHINES = {"x86_64": 62, "arm64-v8a": 183, "aarch64": 183}
HEXAGON = 164
_MACHINE_NAMES = {62: "x86-64", 183: "arm64", HEXAGON: "Hexagon", 40: "32-bit ARM", 3: "x86"}
_HTP_LIBRARY = re.compile(r"libQnnHtpV(\d+)(Stub|Skel)\.so")
# What Android and Linux bring themselves.
_SYSTEM_LIBRARY = re.compile(
    r"(ld-linux.*|libc|libm|libdl|libpthread|librt|libgcc_s|libstdc\+\+|liblog|libandroid"
    r"|libcdsprpc|libz|libatomic|libnativewindow)\.so(\.\d+)*"
)


def check_runtime(runtime: Runtime, abi: str, htp_arch: int) -> None:
    """RuntimeFolderError unless a Runtime serves devices of `abi` with HTP V`htp_arch`.

    Its files are looked into: each must be for the ABI's machine, or for the HTP if it is a
    skel; be called as its soname says; find the libraries it needs; and where the Runtime is
    for a phone's HTP, stub and skel of that arch must be among them.
    """
    doing = f"choosing the Runtime {runtime.dir}"
    hint = f"--runtime DIR with a Runtime for {abi} and HTP V{htp_arch}"
    if runtime.abi != abi:
        raise RuntimeFolderError(
            doing, f"it is for ABI {runtime.abi}, the device has {abi}", hint=hint
        )
    if runtime.htp_archs and htp_arch not in runtime.htp_archs:
        served = ", ".join(f"V{arch}" for arch in runtime.htp_archs)
        raise RuntimeFolderError(
            doing, f"its libraries serve HTP {served}, the device has V{htp_arch}", hint=hint
        )
    problem = next(_file_problems(runtime, htp_arch), None)
    if problem is not None:
        raise RuntimeFolderError(doing, problem, hint=hint)


def check_runtime_serves(
    runtime: Runtime, backend: str, qnn_version: str | None, what: str
) -> None:
    """RuntimeFolderError unless a Runtime can load PTEs of a backend.

    Args:
        backend: "qnn" or "xnnpack".
        qnn_version: of the QNN libraries that compiled them, None if that is not known; a
            context binary needs libraries at least as new.
        what: what would be run, for the message.
    """
    if backend != "qnn":
        return
    doing = f"choosing the Runtime {runtime.dir} for {what}"
    if runtime.htp_archs == ():
        raise RuntimeFolderError(
            doing,
            f"it has no QNN delegate (one made for the CPU, or for a board, whose {runtime.abi} "
            "package of executorch brings none): it runs CPU bundles only",
            hint="--runtime DIR with a Runtime that has one, or a bundle of backend xnnpack",
        )
    if runtime.qnn_version is None or qnn_version is None:
        return
    if _version(runtime.qnn_version) < _version(qnn_version):
        raise RuntimeFolderError(
            doing,
            f"its QNN libraries are {runtime.qnn_version}, the bundle was compiled with "
            f"{qnn_version}",
            expected=f"QNN {qnn_version} or later: a context binary needs libraries as new",
            hint="make the Runtime from a newer QNN SDK, or compile the bundle with the older",
        )


def _version(text: str) -> tuple[int, ...]:
    """ "2.37.0.250724" as (2, 37, 0): what follows the third number is a build's date."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:3])


def _file_problems(runtime: Runtime, htp_arch: int) -> Iterator[str]:
    machine = MACHINES.get(runtime.abi)
    for name in runtime.files:
        found = read_machine(runtime.path_of(name))
        htp_library = _HTP_LIBRARY.fullmatch(name)
        expected = HEXAGON if htp_library and htp_library[2] == "Skel" else machine
        if found is None:
            if ".so" in name:
                yield f"{name} is no library: it is not an ELF file"
        elif expected is not None and found != expected:
            yield f"{name} is for {_machine_name(found)}, not {_machine_name(expected)}"
        elif found != HEXAGON:
            yield from _link_problems(runtime, name)
    # The simulator has neither, and a runner for CPU PTEs needs neither.
    if runtime.htp_archs and "libQnnHtp.so" in runtime.files:
        for part in ("Stub", "Skel"):
            wanted = f"libQnnHtpV{htp_arch}{part}.so"
            if wanted not in runtime.files:
                yield f"it has no {wanted}"


def _link_problems(runtime: Runtime, name: str) -> Iterator[str]:
    try:
        facts: ElfFacts = read_elf(runtime.path_of(name))
    except ValueError:
        yield f"{name} is a damaged ELF file"
        return
    if facts.soname is not None and facts.soname != name:
        yield f"{name} calls itself {facts.soname}: who needs it will not find it"
    for needed in facts.needed:
        if needed not in runtime.files and not _SYSTEM_LIBRARY.fullmatch(needed):
            yield f"{name} needs {needed}, which is not in the folder"


def _machine_name(machine: int) -> str:
    return _MACHINE_NAMES.get(machine, f"machine {machine}")
