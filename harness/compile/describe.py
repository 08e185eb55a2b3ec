"""`python -m harness.compile.describe PTE...`: what is inside PTEs, as one JSON object.

In a process of its own, because ExecuTorch's deserialiser brings torch with it. Needs no
QNN library. The keys are paths as they were given, the values `harness.pte_contents.Contents`
or `{"error": sentence}`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from executorch.backends.qualcomm.serialization.qc_schema_serialize import flatbuffer_to_option
from executorch.exir._serialize._program import deserialize_pte_binary

from harness.compile.pte import MethodContents, read_plan


def describe(path: Path) -> dict[str, Any]:
    """Methods, constants and compile options of one PTE; an error's sentence if unreadable."""
    try:
        program: Any = deserialize_pte_binary(path.read_bytes()).program
    except Exception as err:
        # The reader of a file that may be anything: whatever it raises is the finding.
        return {"error": f"not a PTE that executorch can read ({type(err).__name__}: {err})"}
    plans = {plan.name: plan for plan in program.execution_plan}
    methods = {name: read_plan(plan) for name, plan in plans.items()}
    working = {name: m for name, m in methods.items() if m.delegate_calls or m.cpu_kernels}
    return {
        "methods": [_as_json(method) for method in working.values()],
        "constants": {name: _constant(plan) for name, plan in plans.items() if name not in working},
        "qnn": _qnn_options(plans.values()),
    }


def _as_json(method: MethodContents) -> Mapping[str, Any]:
    return asdict(method)


def _constant(plan: Any) -> Any:
    """The value of a method that returns constants: one, or a list of several."""
    values = [_plain(plan.values[index].val) for index in plan.outputs]
    return values[0] if len(values) == 1 else values


def _plain(value: Any) -> Any:
    for name in ("int_val", "double_val", "bool_val", "string_val"):
        if hasattr(value, name):
            return getattr(value, name)
    return type(value).__name__


def _qnn_options(plans: Any) -> dict[str, Any] | None:
    """SoC, HTP arch and weight sharing, from the options that the delegate carries."""
    for plan in plans:
        for delegate in plan.delegates:
            for spec in delegate.compile_specs:
                if delegate.id != "QnnBackend":
                    continue
                options: Any = flatbuffer_to_option(bytes(spec.value))
                htp = options.backend_options.htp_options
                return {
                    "soc": options.soc_info.soc_model.name,
                    "htp_arch": int(options.soc_info.htp_info.htp_arch),
                    "share_weights": bool(htp.use_weight_sharing) if htp else False,
                    "shared_buffer": bool(options.shared_buffer),
                }
    return None


def main(paths: list[str]) -> int:
    """Print the descriptions; 0 even when a file is unreadable, which its entry says."""
    # What executorch prints while it is imported or reads is not part of the answer.
    answer = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    json.dump({path: describe(Path(path)) for path in paths}, answer)
    answer.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
