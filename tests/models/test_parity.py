"""The static modules compute what transformers computes, within 1e-4 on logits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.testing import assert_close
from transformers import (
    LlamaConfig,
    LlamaModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from models.checkpoint import Checkpoint
from models.components import Components, build_components
from models.decoder import MASKED, attention_mask
from models.decoder_weights import build_text_decoder
from models.errors import ModelError
from models.generate import Graphs, float_graphs, stock_pixels
from models.prompt import Prompt, Turn, build_prompts
from tests.models.geometries import noise_picture
from tests.models.stock import TOLERANCE, static_logits, stock_logits

CONTINUATION = [17, 42, 99, 5, 200, 17]


def whole_prompt(prompt: Prompt) -> int:
    return len(prompt.token_ids)


@pytest.mark.parametrize(
    "ar_len_of",
    [
        pytest.param(whole_prompt, id="whole_prompt_at_once"),
        pytest.param(lambda _: 16, id="prefill_in_chunks_of_16"),
        pytest.param(lambda _: 1, id="decode_only"),
    ],
)
def test_logits_prompt_then_decode_equal_transformers(
    checkpoint: Checkpoint,
    components: Components,
    prompt: Prompt,
    ar_len_of: Callable[[Prompt], int],
) -> None:
    expected = stock_logits(checkpoint, [*prompt.token_ids, *CONTINUATION], prompt.pixels)
    graphs = float_graphs(components, ar_len_of(prompt))
    assert_close(static_logits(graphs, prompt, CONTINUATION), expected, **TOLERANCE)


def test_prefill_ragged_end_of_context_equals_transformers(
    checkpoint: Checkpoint, components: Components, prompt: Prompt
) -> None:
    context = components.text_decoder.config.context_length
    filler = (30,) * (context - len(prompt.token_ids))
    full = Prompt(prompt.text, prompt.token_ids + filler, prompt.pixels)
    expected = stock_logits(checkpoint, full.token_ids, full.pixels)
    ar_len = 48
    assert context % ar_len
    assert_close(static_logits(float_graphs(components, ar_len), full, []), expected, **TOLERANCE)


@pytest.mark.parametrize("spoil", ["positions", "mask", "cache_order"])
def test_logits_with_spoiled_inputs_differ_from_transformers(
    checkpoint: Checkpoint, components: Components, prompt: Prompt, spoil: str
) -> None:
    def spoiled(*inputs: torch.Tensor) -> Any:
        hidden, mask, positions, *caches = inputs
        if spoil == "positions":
            positions = positions // 2
        elif spoil == "mask":
            mask = torch.zeros_like(mask)
        else:
            count = len(caches) // 2
            caches = [*reversed(caches[:count]), *caches[count:]]
        return components.text_decoder(hidden, mask, positions, *caches)

    honest = float_graphs(components, 16)
    graphs = Graphs(
        honest.vision_encoder,
        honest.tok_embedding,
        dict.fromkeys(honest.text_decoder, spoiled),
        honest.config,
        honest.image_token_id,
    )
    expected = stock_logits(checkpoint, prompt.token_ids, prompt.pixels)
    assert (static_logits(graphs, prompt, []) - expected).abs().max() > 1e-2


@torch.no_grad()
def test_vision_encoder_picture_equals_transformers(
    checkpoint: Checkpoint, components: Components, prompt: Prompt
) -> None:
    for picture in prompt.pixels:
        pixels = stock_pixels(checkpoint, picture[None])
        expected = checkpoint.model.get_image_features(pixels).pooler_output[0]
        features = components.vision_encoder(picture[None])
        assert features.shape == (1, components.vision_encoder.image_tokens, expected.shape[-1])
        assert_close(features[0], expected, **TOLERANCE)


def test_vision_positions_at_25_patches_per_side_are_not_in_order(
    checkpoint: Checkpoint, components: Components
) -> None:
    if checkpoint.family.name == "smolvlm":
        table = checkpoint.model.model.vision_model.embeddings.position_embedding.weight
        in_order = components.vision_encoder.config.patches_per_side != 25
    else:  # never by buckets; the first row is the class token's
        table = checkpoint.model.model.vision_tower.embeddings.position_embeddings[0, 1:]
        in_order = True
    assert torch.equal(components.vision_encoder.positions[0], table) == in_order


def test_tok_embedding_equals_table(checkpoint: Checkpoint, components: Components) -> None:
    table = checkpoint.model.get_input_embeddings().weight
    ids = torch.randint(0, len(table), (1, 9), dtype=torch.int32)
    rows = components.tok_embedding(ids)
    assert rows.dtype == torch.float32
    assert torch.equal(rows[0], table[ids[0].long()])


def test_logits_of_split_pictures_equal_transformers(
    checkpoint: Checkpoint, components: Components
) -> None:
    tokens = components.vision_encoder.image_tokens
    turn = Turn("Which is it?", (noise_picture(60, 20, seed=4),))
    (prompt,) = build_prompts(checkpoint, [turn], tokens, splitting=True)
    assert len(prompt.pixels) > 2
    longer = build_components(checkpoint, len(prompt.token_ids))
    expected = stock_logits(checkpoint, prompt.token_ids, prompt.pixels)
    assert_close(static_logits(float_graphs(longer, 48), prompt, []), expected, **TOLERANCE)


def test_attention_mask_shows_past_and_causal_present() -> None:
    visible = attention_mask(2, 6, n_past=3)[0, 0] == 0
    assert visible.int().tolist() == [[1, 1, 1, 0, 1, 0], [1, 1, 1, 0, 1, 1]]
    assert set(attention_mask(2, 6, 3).unique().tolist()) == {MASKED, 0.0}


QWEN_SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 96,
    "vocab_size": 128,
    "max_position_embeddings": 256,
}


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: Qwen2ForCausalLM(Qwen2Config(**QWEN_SIZES)), id="qwen2_qkv_bias"),
        pytest.param(
            lambda: Qwen3ForCausalLM(Qwen3Config(**QWEN_SIZES, head_dim=32)), id="qwen3_qk_norm"
        ),
    ],
)
@torch.no_grad()
def test_decoder_of_other_text_models_equals_transformers(model: Callable[[], Any]) -> None:
    stock = model().eval()
    generator = torch.Generator().manual_seed(3)
    for parameter in stock.parameters():
        spread = 0.3 if parameter.dim() == 1 else parameter[0].numel() ** -0.5
        parameter.add_(spread * torch.randn(parameter.shape, generator=generator))
    decoder = build_text_decoder(stock.model, stock.lm_head.weight, 40)
    hidden, *rest = decoder.example_inputs(20)
    hidden = torch.randn(hidden.shape, generator=generator)
    expected = stock(inputs_embeds=hidden).logits
    assert_close(decoder(hidden, *rest)[0], expected, **TOLERANCE)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "activation 'gelu'"),
        ({"mlp_bias": True}, r"mlp\.gate_proj\.bias"),
        ({"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}}, "linear"),
        ({"max_position_embeddings": 32}, "context length 40; expected at most 32"),
    ],
)
def test_build_text_decoder_of_unserved_config_is_refused(
    change: dict[str, Any], message: str
) -> None:
    config = LlamaConfig(**{**QWEN_SIZES, "head_dim": 32, **change})
    with pytest.raises(ModelError, match=message):
        build_text_decoder(LlamaModel(config), torch.zeros(128, 64), 40)


@pytest.mark.parametrize("ar_len", [0, 320])
def test_example_inputs_ar_len_out_of_range_is_refused(components: Components, ar_len: int) -> None:
    with pytest.raises(ModelError, match=r"expected 1\.\.319"):
        components.text_decoder.example_inputs(ar_len)
