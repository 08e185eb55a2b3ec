"""Work that torch.fx does and nobody looks at, left out while a graph is lowered.

Lowering sends each graph through some hundred passes. After every one of them torch.fx

* writes the graph out as Python source and compiles it, although almost none of these
  functions is ever called;
* deep-copies the record of where each node came from, which nests deeper with every pass
  and is never changed;
* gives the garbage collector millions of live objects to look through again.

And before a strict `torch.export` returns, dynamo builds guards against inputs of other shapes
to see whether dynamic ones were promised; there are none, and it was half an export's time.

None of that has an influence on the result: a test compares the PTEs with and without.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch._dynamo import functional_export
from torch.fx import GraphModule
from torch.fx.graph import _PyTreeCodeGen
from torch.fx.traceback import NodeSource
from torch.nn import Module

_check_constraints = functional_export._suggest_or_raise_constraint_violation
_recompile = GraphModule.recompile
_GENERATED = ("_code", "_lineno_map", "_prologue_start")


@contextmanager
def spare_waste() -> Iterator[None]:
    """For the time of a `with`: code on demand, shared provenance, no garbage collection.

    Graph modules made inside work outside, too: their code is written when it is asked for.
    """
    share_provenance()
    collecting = gc.isenabled()
    gc.disable()
    GraphModule.recompile = _recompile_on_demand
    functional_export._suggest_or_raise_constraint_violation = _check_shapes
    try:
        yield
    finally:
        GraphModule.recompile = _recompile
        functional_export._suggest_or_raise_constraint_violation = _check_constraints
        if collecting:
            gc.enable()
        gc.collect()


def collect() -> None:
    """Free what is no longer in use, between two stages, and give it back to the system.

    dynamo keeps each graph it exported, with its weights, in a global variable.
    """
    kept = [name for name, value in vars(functional_export).items() if isinstance(value, Module)]
    for name in kept:
        delattr(functional_export, name)
    gc.collect()
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def share_provenance() -> None:
    """Let copies of a node share the record of where it came from.

    Every pass deep-copies `node.meta["from_node"]`, which nests one level deeper with each;
    the records are never changed, so one of each is enough. The copies were 23 % of the CPU
    time of lowering a two-layer decoder (cProfile: 90 of 400 s).
    """
    NodeSource.__deepcopy__ = lambda self, memo: self


class _OnDemand:
    """Stands for what `recompile` sets on one graph module until somebody looks at it.

    Every `GraphModule` has a class of its own, so that this is one module's alone. Looking
    is enough: `inspect`, dynamo and a call all get the real function.
    """

    def __init__(self, module: GraphModule, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, instance: GraphModule | None, owner: type[GraphModule]) -> Any:
        _recompile(self._module)
        return getattr(owner if instance is None else instance, self._name)


class _CodeOnDemand:
    """What `recompile` returns: the generated code, for those who use it."""

    def __init__(self, module: GraphModule) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(_recompile(self._module), name)


def _check_shapes(*args: Any) -> None:
    """In place of dynamo's check: there is nothing to check where every shape is static."""
    *_, dynamic_shapes = args
    if dynamic_shapes:
        _check_constraints(*args)


def _recompile_on_demand(module: GraphModule) -> Any:
    """In place of `GraphModule.recompile`."""
    if isinstance(module._graph._codegen, _PyTreeCodeGen):
        module._in_spec = module._graph._codegen.pytree_info.in_spec
        module._out_spec = module._graph._codegen.pytree_info.out_spec
    for name in _GENERATED:
        module.__dict__.pop(name, None)  # of an earlier state of the graph
        setattr(type(module), name, _OnDemand(module, name))
    type(module).forward = _OnDemand(module, "forward")
    module._recompile_submodules()
    return _CodeOnDemand(module)
