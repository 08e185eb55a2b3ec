"""Float bundles of the small models for the CPU: one for kv and hybrid, one for lookahead."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from harness.compile import BundleRequest
from harness.spec import Spec
from harness.spec.cpu_recipe import build_cpu_recipe

sys.path.insert(0, str(Path(__file__).parent))
from laboratory import LOOKAHEAD, LOOKAHEAD_MAX_SEQ_LEN


def float_spec(spec: Spec) -> Spec:
    """One length for all modes, so that no mode's reply ends earlier for want of room."""
    return replace(
        spec,
        recipe_xnnpack=build_cpu_recipe({"quantization": "fp32"}, 0),
        lookahead=LOOKAHEAD,
        max_seq_len=LOOKAHEAD_MAX_SEQ_LEN,
    )


def float_requests(spec: Spec) -> tuple[BundleRequest, BundleRequest]:
    """What is to be compiled, of a `float_spec`."""
    hybrid = BundleRequest(spec, None, "hybrid", "simulator", "xnnpack")
    return hybrid, replace(hybrid, mode="lookahead")
