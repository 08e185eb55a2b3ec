"""What is inside a PTE: methods, signatures, delegate calls, left-over kernels.

Imports executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from executorch.exir._serialize._program import deserialize_pte_binary

from harness.errors import CompileError


@dataclass(frozen=True)
class TensorSignature:
    """Shape and ExecuTorch scalar type name of one input or output."""

    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class MethodContents:
    """One method of a PTE.

    `delegate_calls` counts calls into a backend, `cpu_kernels` names the operators that
    run beside them on the CPU, one entry a call.
    """

    name: str
    inputs: tuple[TensorSignature, ...]
    outputs: tuple[TensorSignature, ...]
    delegate_calls: int
    cpu_kernels: tuple[str, ...]


def read_methods(pte: bytes) -> dict[str, MethodContents]:
    """The methods of a PTE that do work; constant methods have no instructions and are left out."""
    program: Any = deserialize_pte_binary(pte).program
    contents = (read_plan(plan) for plan in program.execution_plan)
    return {m.name: m for m in contents if m.delegate_calls or m.cpu_kernels}


def check_fully_delegated(
    component: str, methods: dict[str, MethodContents], names: Collection[str], calls: int
) -> None:
    """Refuse a PTE in which anything but `calls` delegate calls per method is executed.

    `names` are the methods it must have, no more and no fewer.

    A graph that falls apart into several delegates still runs and still answers, only
    slowly and less exactly; nothing else would notice.

    Raises:
        CompileError: naming each method's delegate count and left-over operators.
    """
    if set(methods) != set(names):
        raise CompileError(
            f"checking the finished {component} PTE",
            f"its methods are {', '.join(sorted(methods)) or 'none'}",
            expected=", ".join(sorted(names)),
        )
    bad = [m for m in methods.values() if m.delegate_calls != calls or m.cpu_kernels]
    if not bad:
        return
    found = "; ".join(
        f"{m.name} has {m.delegate_calls} delegate calls and "
        f"{len(m.cpu_kernels)} CPU kernels ({', '.join(sorted(set(m.cpu_kernels))) or 'none'})"
        for m in bad
    )
    raise CompileError(
        f"checking the finished {component} PTE",
        found,
        expected=f"{calls} delegate call per method and no CPU kernel beside it",
        hint="rewrite the named operators in models/ in a form the HTP backend takes",
    )


def read_plan(plan: Any) -> MethodContents:
    """One execution plan of a deserialised program."""
    calls, kernels = 0, []
    for chain in plan.chains:
        for instruction in chain.instructions:
            kind = type(instruction.instr_args).__name__
            if kind == "DelegateCall":
                calls += 1
            elif kind == "KernelCall":
                operator = plan.operators[instruction.instr_args.op_index]
                kernels.append(f"{operator.name}.{operator.overload}".rstrip("."))
    return MethodContents(
        name=plan.name,
        inputs=tuple(_signature(plan, index) for index in plan.inputs),
        outputs=tuple(_signature(plan, index) for index in plan.outputs),
        delegate_calls=calls,
        cpu_kernels=tuple(kernels),
    )


def _signature(plan: Any, index: int) -> TensorSignature:
    value = plan.values[index].val
    if type(value).__name__ != "Tensor":
        return TensorSignature((), type(value).__name__)
    return TensorSignature(tuple(value.sizes), value.scalar_type.name)
