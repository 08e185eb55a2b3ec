"""What is left out of lowering has no influence on the PTE."""

from __future__ import annotations

import re
import subprocess
import sys

from harness.compile.stack import find_compiler_stack

LOWER = """
import contextlib, os, sys
answer = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)
import torch
from harness.compile import quantize
from harness.compile.hot_spots import spare_waste
from harness.compile.lower import Graph, HtpOptions, lower
from harness.spec import ComponentRecipe
from models.decoder import DecoderConfig, TextDecoder

torch.manual_seed(0)
config = DecoderConfig(64, 1, 4, 2, 16, 128, 256, 64, 1e-5, 1e4)
decoder = TextDecoder(config).requires_grad_(False).eval()
with spare_waste() if sys.argv[1] == "spared" else contextlib.nullcontext():
    example = decoder.example_inputs(1)
    prepared = quantize.prepare(decoder, example, "SM8750", ComponentRecipe("16a8w"))
    quantize.calibrate(prepared, [example])
    graph = Graph(quantize.convert(prepared), example)
    options = HtpOptions("SM8750", share_weights=False, split_heads=True)
    answer.write(lower({"forward": graph}, options))
answer.close()
"""

# Behind its magic number the HTP compiler writes eight bytes that differ in every run.
RUN_ID = re.compile(rb"(?<=\xcd\xab\x78\x56).{8}", re.DOTALL)


def lowered(how: str) -> bytes:
    """A small decoder's PTE, made in a process of its own: names are counted per process."""
    done = subprocess.run(
        [sys.executable, "-c", LOWER, how],
        env=find_compiler_stack().environment(),
        capture_output=True,
        check=True,
        timeout=900,
    )
    return RUN_ID.sub(b"", done.stdout)


def test_pte_without_the_waste_is_the_same_bit_for_bit() -> None:
    plain, spared = lowered("plain"), lowered("spared")
    assert len(plain) > 10_000
    assert plain == spared
