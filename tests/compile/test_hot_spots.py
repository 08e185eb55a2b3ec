"""What is left out of lowering has no influence on the PTE."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from harness.compile.stack import find_compiler_stack

LOWER_TWICE = """
import contextlib, json, os
answer = os.fdopen(os.dup(1), "w")
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

def pte():
    example = decoder.example_inputs(1)
    prepared = quantize.prepare(decoder, example, "SM8750", ComponentRecipe("16a8w"))
    quantize.calibrate(prepared, [example])
    graph = Graph(quantize.convert(prepared), example)
    return lower({"forward": graph}, HtpOptions("SM8750", share_weights=False, split_heads=True))

plain = pte()
with spare_waste():
    spared = pte()
json.dump([plain.hex(), spared.hex()], answer)
answer.close()
"""

# Behind its magic number the HTP compiler writes eight bytes that differ in every run.
RUN_ID = re.compile(rb"(?<=\xcd\xab\x78\x56).{8}", re.DOTALL)


def test_pte_without_the_waste_is_the_same_bit_for_bit() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOWER_TWICE],
        env=find_compiler_stack().environment(),
        capture_output=True,
        check=True,
        text=True,
        timeout=900,
    )
    plain, spared = (RUN_ID.sub(b"", bytes.fromhex(text)) for text in json.loads(done.stdout))
    assert len(plain) > 10_000
    assert plain == spared
