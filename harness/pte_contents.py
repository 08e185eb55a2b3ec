"""What PTEs hold, read by ExecuTorch's deserialiser in a process of its own. Needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.compile.stack import find_compiler_stack
from harness.errors import BundleCorrupt, CompileError

_READER = (sys.executable, "-P", "-m", "harness.compile.describe")
_TIMEOUT_S = 600


@dataclass(frozen=True)
class TensorFacts:
    """Shape and ExecuTorch scalar type ("FLOAT", "UINT16", "INT") of an input or output."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype.lower()} {list(self.shape)}"


@dataclass(frozen=True)
class MethodFacts:
    """A method that does work: its signature, and what it calls."""

    name: str
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    delegate_calls: int
    cpu_kernels: tuple[str, ...]


@dataclass(frozen=True)
class QnnFacts:
    """What the QNN delegate was compiled for."""

    soc: str
    htp_arch: int
    share_weights: bool
    shared_buffer: bool


@dataclass(frozen=True)
class Contents:
    """A PTE: working methods, values of the constant ones, compile options of the delegate."""

    methods: tuple[MethodFacts, ...]
    constants: Mapping[str, Any]
    qnn: QnnFacts | None

    def method(self, name: str) -> MethodFacts | None:
        """The working method of that name."""
        return next((method for method in self.methods if method.name == name), None)


def read_contents(paths: Sequence[Path]) -> dict[Path, Contents]:
    """The contents of several PTEs, all read by one process.

    Raises:
        BundleCorrupt: a file is no PTE; the first is named.
        CompileError: executorch is not installed, or its process failed.
    """
    stack = find_compiler_stack()
    done = subprocess.run(
        [*_READER, *map(str, paths)],
        env=stack.environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0:
        last = done.stderr.strip().splitlines()[-1:]
        raise CompileError(
            "reading PTEs", f"executorch's process ended with {done.returncode}: {''.join(last)}"
        )
    found = json.loads(done.stdout)
    contents = {}
    for path in paths:
        entry = found[str(path)]
        if "error" in entry:
            raise BundleCorrupt(f"reading {path}", entry["error"], hint="copy it again")
        contents[path] = TypeAdapter(Contents).validate_python(entry)
    return contents
