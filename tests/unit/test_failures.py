"""The table of exit codes and known log lines, on recorded texts."""

from __future__ import annotations

import pytest

from harness.failures import (
    exit_codes,
    explain_exit,
    find_signature,
    hint_for,
    signatures,
)

# Texts as ExecuTorch's delegate and Qualcomm's libraries print them.
LOGS = {
    "device_handle_14001": (
        "[ERROR] [Qnn ExecuTorch]: QnnDsp <E> Failed to load default platform info: 14001\n"
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=14001\n"
        "E 00:00:00.4 executorch:QnnManager.cpp:285] Fail to configure Qnn device\n"
    ),
    "device_memory": (
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=1002\n"
    ),
    "context_memory": (
        "[ERROR] [Qnn ExecuTorch]:  <E> Failed to create context from binary with err 0x3ea\n"
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 1002.\n"
    ),
    "no_pd": (
        "[ERROR] [Qnn ExecuTorch]: QnnDsp <E> Failed to find available PD for contextId 1 on "
        "deviceId 0 coreId 0 with context size estimate 4096\n"
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 1002.\n"
    ),
    "context_create_from_binary": (
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 5005.\n"
        "E 00:00:01.2 executorch:method.cpp:122] Init failed for backend QnnBackend: 0x1\n"
    ),
    "context_30010": (
        "[ERROR] [Qnn ExecuTorch]: Failed to interpret QNN context binary. Error code 30010. "
        "Try verifying binary with online-prepare format.\r\n"
    ),
    "skel_not_loaded": (
        "0.0ms [ ERROR ] QnnDsp <E> Failed to create transport for device, error: 4000\n"
        "0.0ms [ ERROR ] QnnDsp <E> Failed to load skel, error: 4000\n"
        "0.0ms [ ERROR ] QnnDsp <E> Transport layer setup failed: 14001\n"
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=14001\n"
    ),
    "transport_4000": (
        "QnnDsp <E> Failed to create transport for device, error: 4000\n"
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=14001\n"
    ),
    "stub_skel_mismatch": (
        "QnnDsp <E> Stub lib id mismatch: expected (v2.49.40.1), detected (v2.37.0.250724)\n"
        "QnnDsp <E> Failed to create transport for device, error: 4000\n"
    ),
    "newer_context_binary": (
        " <E> Using newer context binary on old SDK\n"
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 5000.\n"
    ),
    "version_unsupported": (
        "[ERROR] [Qnn ExecuTorch]: Qnn API version 2.10.0 is not supported. The minimum "
        "supported version is 2.15.0\n"
    ),
    "library_missing": (
        "[ERROR] [Qnn ExecuTorch]: Cannot Open QNN library libQnnHtp.so, with error: "
        "libQnnHtp.so: cannot open shared object file: No such file or directory\n"
    ),
    "loader": (
        'CANNOT LINK EXECUTABLE "./vlm_runner": library "libexecutorch.so" not found: needed\n'
    ),
    "backend_not_registered": (
        "E 00:00:00.0 executorch:method.cpp:94] Backend QnnBackend is not registered.\n"
    ),
    "rpc_memory": "fastrpc_mmap: map of 4096 bytes failed, error 0x1\n",
    "graph_execute": "[ERROR] [Qnn ExecuTorch]: qnn_graph_execute failed. Error 6031\n",
}


@pytest.mark.parametrize("name", LOGS)
def test_find_signature_of_a_recorded_log_names_the_cause(name: str) -> None:
    found = find_signature(LOGS[name])
    assert found is not None
    assert found.name == name


def test_find_signature_of_a_healthy_log_finds_none() -> None:
    healthy = (
        "[INFO] [Qnn ExecuTorch]: create QNN Logger with log_level 1\n"
        "[WARNING] [Qnn ExecuTorch]: Qnn API version 2.39.0 is used. The version is tested "
        "against 2.37.0.\n"
        "QnnContextCustomProtocol expected magic number: 0x5678abcd but get: 0x2000000\n"
        "[INFO] [Qnn ExecuTorch]: Destroy Qnn context\n"
    )
    assert find_signature(healthy) is None


def test_signatures_end_in_exit_codes_of_the_table() -> None:
    codes = exit_codes()
    assert len({row.code for row in codes.values()}) == len(codes)
    assert len({known.name for known in signatures()}) == len(signatures())
    for known in signatures():
        assert known.exit_code in codes
        assert 1 <= len(known.parts) <= 4


def test_every_failing_exit_code_has_a_hint() -> None:
    assert all(row.hint for row in exit_codes().values() if row.code != 0)


@pytest.mark.parametrize(
    ("exit_code", "log", "expected"),
    [
        (0, "", None),
        (75, "", "a file has another sha256 than the request says (file_changed)"),
        (139, "", "killed by signal 11 (SIGSEGV)"),
        (134, LOGS["no_pd"], "no protection domain"),
        (3, "", None),
    ],
)
def test_explain_exit_takes_the_log_first(exit_code: int, log: str, expected: str | None) -> None:
    found = explain_exit(exit_code, log)
    assert found == expected or (expected is not None and expected in str(found))


def test_hint_for_a_missing_skel_says_what_to_push() -> None:
    assert "Skel.so" in str(hint_for(1, LOGS["transport_4000"]))
    assert hint_for(1, "") is None
