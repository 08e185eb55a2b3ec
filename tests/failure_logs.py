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
    "skel_version": (
        "QnnDsp <E> Error in verify skel version with err 0x80000406\n"
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=14001\n"
    ),
    "future_blob": (
        "[ERROR] [Qnn ExecuTorch]:  <E> Can't read future blob. Newest blob version supported: "
        "3.2.x. Current blob version: 3.4.x.\n\n"
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 5000.\n"
    ),
    "context_binary_version": (
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 5004.\n"
        "E 00:00:01.2 executorch:method.cpp:122] Init failed for backend QnnBackend: 0x1\n"
    ),
    "context_memory_equals": "[ERROR] [Qnn ExecuTorch]: Failed to create context, error=1002\n",
    "device_handle": (
        "[ERROR] [Qnn ExecuTorch]: Failed to create device_handle for Backend ID 6, error=14000\n"
    ),
    "backend_4000": (
        "[ERROR] [Qnn ExecuTorch]: Failed to create backend_handle for Backend ID 6, error=4000\n"
    ),
    "context_from_binary": (
        "[ERROR] [Qnn ExecuTorch]: Can't create context from binary. Error 5001.\n"
    ),
    "context_uninterpretable": (
        "[ERROR] [Qnn ExecuTorch]: Failed to interpret QNN context binary. Error code 30002. "
        "Try verifying binary with online-prepare format.\n"
    ),
    "context_cache_invalid": "[ERROR] [Qnn ExecuTorch]: QNN context cache is invalid.\n",
    "foreign_image_size": (
        "E 00:00:00.9 executorch:image.cpp:40] Input image size mismatch. file bytes: 100, "
        "expected bytes: 3145728 (file: a.raw)\n"
    ),
    "foreign_image_count": (
        "F 00:00:00.9 executorch:main.cpp:88] In function prepare_messages(), assert failed "
        "(a == b): Number of <image> tokens (2) does not match number of images (1). See --help.\n"
        "Aborted\n"
    ),
    "foreign_input_list": (
        "E 00:00:00.9 executorch:main.cpp:61] Failed to open input list file: input_list.txt\n"
    ),
    "foreign_tokenizer": (
        "E tokenizers:hf_tokenizer.cpp:167] Error parsing JSON\n"
        "E 00:00:00.9 executorch:runner.cpp:200] Failed to load tokenizer with tokenizer.json\n"
    ),
    "foreign_too_long": (
        "F 00:00:00.9 executorch:runner.cpp:301] In function generate(), assert failed "
        "(cur_pos_ + num_prompt_tokens < seq_len): sequence length exceeded - please increase "
        "the seq_len value\nAborted\n"
    ),
    "foreign_too_long_prefill": (
        "F 00:00:00.9 executorch:prompt_processor.cpp:99] In function prefill(), assert failed "
        "(a <= b): The sequence length exceeds the maximum limit that the prompt processor can "
        "handle.\nAborted\n"
    ),
    "foreign_model_version": (
        "F 00:00:00.9 executorch:main.cpp:140] In function main(), assert failed (false): "
        "Unsupported Decoder Model\nAborted\n"
    ),
    "foreign_width": (
        "E 00:00:00.9 executorch:merger.cpp:52] Embedding dimension mismatch: expected 960, got "
        "896\n"
    ),
    "foreign_head_dim": (
        "F 00:00:00.9 executorch:runner.cpp:166] In function load(), assert failed (k == v): K/V "
        "head_dim mismatch at layer 3 (64, 128)\nAborted\n"
    ),
    "foreign_cache_type": (
        "F 00:00:00.9 executorch:runner.cpp:171] In function load(), assert failed (a == b): Mixed "
        "scalar type of kv_cache is not allowed\nAborted\n"
    ),
    "foreign_method": (
        "E 00:00:00.9 executorch:program.cpp:310] No method named 'kv_forward' in program\n"
    ),
    "foreign_speed_file": (
        "E 00:00:00.9 executorch:runner.cpp:480] Error saving the inference speed file\n"
    ),
    "foreign_assert": (
        "F 00:00:00.9 executorch:result.h:170] In function CheckOk(), assert failed: hasValue_\n"
        "Aborted\n"
    ),
}
