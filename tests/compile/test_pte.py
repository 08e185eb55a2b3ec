"""Delegation: a method that falls apart is refused, though it would run."""

from __future__ import annotations

import pytest

from harness.compile.pte import MethodContents, check_fully_delegated
from harness.errors import CompileError


def method(delegate_calls: int, kernels: tuple[str, ...] = ()) -> dict[str, MethodContents]:
    return {"kv_forward": MethodContents("kv_forward", (), (), delegate_calls, kernels)}


def test_one_call_and_no_kernel_is_accepted() -> None:
    check_fully_delegated("text_decoder", method(1), ["kv_forward"], calls=1)


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        pytest.param(method(3, ("aten::sort.default",)), "aten::sort.default", id="kernels"),
        pytest.param(method(2), "2 delegate calls", id="two-delegates"),
        pytest.param(method(0, ("aten::add.out",)), "0 delegate calls", id="cpu-only"),
    ],
)
def test_anything_else_is_refused_by_name(methods: dict[str, MethodContents], words: str) -> None:
    with pytest.raises(CompileError) as caught:
        check_fully_delegated("text_decoder", methods, ["kv_forward"], calls=1)
    assert words in str(caught.value)
    assert "kv_forward" in str(caught.value)


@pytest.mark.parametrize("names", [["kv_forward", "prefill_forward"], []])
def test_missing_or_surplus_method_is_refused(names: list[str]) -> None:
    with pytest.raises(CompileError, match="its methods are kv_forward"):
        check_fully_delegated("text_decoder", method(1), names, calls=1)
