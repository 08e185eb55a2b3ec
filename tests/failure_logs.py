"""Recorded texts of failures, by the name of the signature that they must be known by."""

from __future__ import annotations

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
