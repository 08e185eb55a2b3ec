"""The modules export strictly, with the inputs in the order of the PTE contract."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch.export import ExportedProgram
from torch.testing import assert_close

from models.components import Components
from models.decoder import TextDecoder

AR_LENS = (1, 24)


@torch.no_grad()
def export(module: Any, inputs: tuple[torch.Tensor, ...]) -> ExportedProgram:
    return torch.export.export(module, inputs, strict=True)


def shapes(program: ExportedProgram, names: tuple[str, ...]) -> list[tuple[int, ...]]:
    by_name = {node.name: node for node in program.graph.nodes}
    return [tuple(by_name[name].meta["val"].shape) for name in names]


@pytest.fixture(scope="module")
def decoder(small_components: Components) -> TextDecoder:
    return small_components.text_decoder


@pytest.fixture(scope="module")
def programs(decoder: TextDecoder) -> dict[int, ExportedProgram]:
    """The decoder's export per AR length."""
    return {ar_len: export(decoder, decoder.example_inputs(ar_len)) for ar_len in AR_LENS}


@pytest.mark.parametrize("ar_len", AR_LENS)
def test_text_decoder_export_has_contract_order(
    decoder: TextDecoder, programs: dict[int, ExportedProgram], ar_len: int
) -> None:
    c = decoder.config
    signature = programs[ar_len].graph_signature
    past = c.context_length - ar_len
    assert signature.user_inputs[:3] == ("hidden_states", "attention_mask", "pos_ids")
    assert shapes(programs[ar_len], signature.user_inputs) == [
        (1, ar_len, c.dim),
        (1, 1, ar_len, c.context_length),
        (1, ar_len),
        *[(1, c.n_kv_heads, c.head_dim, past)] * c.n_layers,
        *[(1, c.n_kv_heads, past, c.head_dim)] * c.n_layers,
    ]
    assert shapes(programs[ar_len], signature.user_outputs) == [
        (1, ar_len, c.vocab_size),
        *[(1, c.n_kv_heads, c.head_dim, ar_len)] * c.n_layers,
        *[(1, c.n_kv_heads, ar_len, c.head_dim)] * c.n_layers,
    ]


def test_text_decoder_prefill_and_decode_graphs_have_the_same_nodes(
    programs: dict[int, ExportedProgram],
) -> None:
    decode, prefill = (
        [(node.name, node.target) for node in programs[ar_len].graph.nodes] for ar_len in AR_LENS
    )
    assert decode == prefill


def test_text_decoder_export_has_the_form_that_splits_into_heads(
    decoder: TextDecoder, programs: dict[int, ExportedProgram]
) -> None:
    nodes = programs[1].graph.nodes
    targets = Counter(str(node.target) for node in nodes if node.op == "call_function")
    n_layers = decoder.config.n_layers
    assert targets["aten.softmax.int"] == n_layers
    assert targets["aten.expand.default"] == 2 * n_layers
    assert targets["aten.conv2d.default"] == 7 * n_layers + 1
    assert not targets["aten.linear.default"]
    assert not targets["aten.repeat_interleave.self_int"]


@torch.no_grad()
def test_text_decoder_export_computes_the_same(
    decoder: TextDecoder, programs: dict[int, ExportedProgram]
) -> None:
    for ar_len, program in programs.items():
        inputs = randomised(decoder.example_inputs(ar_len))
        for exported, eager in zip(program.module()(*inputs), decoder(*inputs), strict=True):
            assert_close(exported, eager, atol=1e-5, rtol=0.0)


@torch.no_grad()
def test_vision_encoder_export_computes_the_same(small_components: Components) -> None:
    inputs = randomised(small_components.vision_encoder.example_inputs())
    program = export(small_components.vision_encoder, inputs)
    assert program.graph_signature.user_inputs == ("pixels",)
    expected = small_components.vision_encoder(*inputs)
    assert_close(program.module()(*inputs), expected, atol=1e-5, rtol=0.0)


@torch.no_grad()
@pytest.mark.parametrize("ar_len", AR_LENS)
def test_tok_embedding_export_computes_the_same(small_components: Components, ar_len: int) -> None:
    inputs = small_components.tok_embedding.example_inputs(ar_len)
    program = export(small_components.tok_embedding, inputs)
    rows = program.module()(inputs[0] + 3)
    assert torch.equal(rows, small_components.tok_embedding(inputs[0] + 3))
    assert rows.shape == (1, ar_len, small_components.text_decoder.config.dim)


def randomised(inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(
        torch.randn(t.shape, generator=generator) if t.is_floating_point() else t for t in inputs
    )
