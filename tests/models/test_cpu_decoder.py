"""The decoder's form for the CPU computes what the decoder computes."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from models.cpu_cache import QuantizedCache, Range
from models.cpu_decoder import CpuTextDecoder
from models.decoder import MASKED, DecoderConfig, TextDecoder

CONFIG = {
    "dim": 64,
    "n_layers": 2,
    "n_heads": 6,
    "n_kv_heads": 2,
    "head_dim": 16,
    "ffn_dim": 96,
    "vocab_size": 80,
    "context_length": 24,
    "norm_eps": 1e-5,
    "rope_theta": 1e4,
}
VARIANTS = {
    "llama": {},
    "qwen2": {"qkv_bias": True},
    "qwen3": {"qk_norm": True},
    "one_query_per_head": {"n_heads": 2},
}


@pytest.fixture(params=VARIANTS)
def decoder(request: pytest.FixtureRequest) -> TextDecoder:
    torch.manual_seed(1)
    decoder = TextDecoder(DecoderConfig(**{**CONFIG, **VARIANTS[request.param]}))
    for parameter in decoder.parameters():
        parameter.data.normal_(0.0, 0.2)
    return decoder.requires_grad_(False).eval()


def random_inputs(decoder: TextDecoder, ar_len: int) -> tuple[torch.Tensor, ...]:
    """A full cache and a mask of no shape in particular, as lookahead has."""
    hidden, mask, pos_ids, *caches = decoder.example_inputs(ar_len)
    mask = torch.where(torch.rand_like(mask) < 0.3, MASKED, 0.0)
    positions = torch.randint(0, CONFIG["context_length"], pos_ids.shape, dtype=torch.int32)
    return (torch.randn_like(hidden), mask, positions, *(torch.randn_like(c) for c in caches))


@pytest.mark.parametrize("ar_len", [1, 7])
def test_cpu_decoder_gives_the_decoders_outputs(decoder: TextDecoder, ar_len: int) -> None:
    inputs = random_inputs(decoder, ar_len)
    expected, got = decoder(*inputs), CpuTextDecoder(decoder)(*inputs)
    assert len(got) == len(expected)
    for ours, theirs in zip(got, expected, strict=True):
        assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_cpu_decoder_shares_the_weights(decoder: TextDecoder) -> None:
    ours = CpuTextDecoder(decoder)
    assert ours.head.weight.data_ptr() == decoder.head.weight.data_ptr()
    assert ours.layers[0].gate.weight.data_ptr() == decoder.layers[0].ffn.gate.weight.data_ptr()


@pytest.mark.parametrize("bits", [8, 16])
def test_quantized_cache_is_off_by_half_a_step_at_most(bits: int) -> None:
    decoder = TextDecoder(DecoderConfig(**CONFIG))
    ranges = [Range(-1.0, 2.0)] * 4
    wrapped = QuantizedCache(CpuTextDecoder(decoder), ranges, bits)
    entries = [torch.empty(1, 2, 16, 5).uniform_(-1.0, 2.0) for _ in ranges]
    kept = wrapped.dequantize(wrapped.quantize(entries))
    step = 3.0 / (2**bits - 1)
    for entry, back in zip(entries, kept, strict=True):
        assert (entry - back).abs().max() <= 0.51 * step
    zero = wrapped.dequantize(wrapped.quantize([torch.zeros(1)] * 4))
    assert all(value.item() == 0.0 for value in zero)
