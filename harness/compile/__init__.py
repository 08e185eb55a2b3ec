"""From a spec to a bundle, in child processes.

`bundle` is the way in. `plan`, `job`, `stack`, `process` and `bundle` need no torch;
`worker` and what it imports run in compiler processes only.
"""

from __future__ import annotations

from harness.compile.bundle import BundleRequest, compile_bundle
from harness.compile.process import Stage

__all__ = ["BundleRequest", "Stage", "compile_bundle"]
