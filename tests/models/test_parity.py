"""The static modules compute what transformers computes, within 1e-4 on logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
from models.generate import (
    GraphCall,
    Graphs,
    KvCache,
    decode,
    embed,
    float_graphs,
    greedy_hf,
    greedy_replies,
    greedy_reply,
    prefill,
    stock_pixels,
)
from models.prompt import Prompt, Turn, build_prompts
from tests.models.geometries import noise_picture

TOLERANCE = {"atol": 1e-4, "rtol": 0.0}
CONTINUATION = [17, 42, 99, 5, 200, 17]


@torch.no_grad()
def stock_logits(
    checkpoint: Checkpoint, token_ids: Sequence[int], pixels: torch.Tensor
) -> torch.Tensor:
    """(len, vocab) of one full forward of the transformers model."""
    outputs = checkpoint.model(
        input_ids=torch.tensor([list(token_ids)]), pixel_values=stock_pixels(checkpoint, pixels)
    )
    return outputs.logits[0]


@torch.no_grad()
def static_logits(graphs: Graphs, prompt: Prompt, continuation: list[int]) -> torch.Tensor:
    """(prompt + continuation, vocab): the prompt prefilled, the rest decoded one by one."""
    cache = KvCache(graphs.config)
    rows = [prefill(graphs, prompt, cache)]
    rows += [decode(graphs, embed(graphs, [token], 1), cache) for token in continuation]
    return torch.cat(rows)


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


def three_turns() -> list[Turn]:
    """Two pictures at first, then none, then one."""
    pictures = [noise_picture(60, 40, seed=seed) for seed in range(3)]
    return [
        Turn("Which is it?", tuple(pictures[:2])),
        Turn("Why?"),
        Turn("And now?", tuple(pictures[2:])),
    ]


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


def test_greedy_replies_of_three_turns_equal_transformers(
    checkpoint: Checkpoint, components: Components
) -> None:
    tokens, stops = components.vision_encoder.image_tokens, checkpoint.stop_token_ids
    prompts = build_prompts(checkpoint, three_turns(), tokens)
    longer = build_components(checkpoint, 12 * 3 + sum(len(p.token_ids) for p in prompts))
    replies = greedy_replies(float_graphs(longer, 16), prompts, 6, stops)
    assert len(replies) == 3
    said: list[int] = []
    pixels = prompts[0].pixels[:0]
    for prompt, reply in zip(prompts, replies, strict=True):
        said, pixels = [*said, *prompt.token_ids], torch.cat([pixels, prompt.pixels])
        expected = stock_logits(checkpoint, [*said, *reply.token_ids[:-1]], pixels)
        rows = expected[len(said) - 1 :]
        assert_close(torch.stack(reply.logits), rows, **TOLERANCE)
        assert rows.argmax(dim=1).tolist() == reply.token_ids
        said += reply.token_ids
        if reply.token_ids[-1] not in stops:
            said.append(stops[0])


def test_greedy_replies_without_the_first_turn_differ(
    checkpoint: Checkpoint, components: Components
) -> None:
    tokens, stops = components.vision_encoder.image_tokens, checkpoint.stop_token_ids
    prompts = build_prompts(checkpoint, three_turns()[:2], tokens)
    graphs = float_graphs(components, 16)
    remembering = greedy_replies(graphs, prompts, 1, stops)[1]
    forgetful = greedy_reply(graphs, prompts[1], 1, stops)
    assert not torch.allclose(remembering.logits[0], forgetful.logits[0], atol=1e-3)


def test_greedy_replies_at_end_of_context_are_refused(
    components: Components, prompt: Prompt
) -> None:
    follow_up = Prompt("", (30,) * 8, prompt.pixels[:0])
    with pytest.raises(ModelError, match="a further turn; expected room in 320"):
        greedy_replies(float_graphs(components, 16), [prompt, follow_up], 1000, (9999,))


@pytest.mark.parametrize("prefill_ar_len", [1, 16], ids=["kv", "hybrid"])
def test_greedy_reply_equals_generate(
    checkpoint: Checkpoint, components: Components, prompt: Prompt, prefill_ar_len: int
) -> None:
    graphs = float_graphs(components, prefill_ar_len)
    reply = greedy_reply(graphs, prompt, 12, checkpoint.stop_token_ids)
    assert reply.token_ids == greedy_hf(checkpoint, prompt, 12, checkpoint.stop_token_ids)
    assert [int(logits.argmax()) for logits in reply.logits] == reply.token_ids


def test_greedy_reply_without_its_pictures_differs(
    checkpoint: Checkpoint, components: Components, prompt: Prompt
) -> None:
    graphs = float_graphs(components, 16)
    swapped = Prompt(prompt.text, prompt.token_ids, prompt.pixels.flip(0))
    seen = greedy_reply(graphs, prompt, 1, checkpoint.stop_token_ids)
    unseen = greedy_reply(graphs, swapped, 1, checkpoint.stop_token_ids)
    assert not torch.allclose(seen.logits[0], unseen.logits[0], atol=1e-3)


def test_greedy_reply_at_stop_token_ends_as_generate_does(
    checkpoint: Checkpoint, components: Components, prompt: Prompt
) -> None:
    graphs = float_graphs(components)
    first = greedy_reply(graphs, prompt, 1, checkpoint.stop_token_ids).token_ids[0]
    reply = greedy_reply(graphs, prompt, 12, (first,))
    assert (reply.token_ids, reply.stop_reason) == ([first], "stop_token")
    assert reply.token_ids == greedy_hf(checkpoint, prompt, 12, (first,))


def test_greedy_reply_at_end_of_context_says_so(components: Components, prompt: Prompt) -> None:
    reply = greedy_reply(float_graphs(components, 16), prompt, 1000, ())
    free = components.text_decoder.config.context_length - len(prompt.token_ids)
    assert reply.stop_reason == "context_full"
    assert len(reply.token_ids) == free + 1


def test_greedy_reply_prompt_longer_than_context_is_refused(
    components: Components, prompt: Prompt
) -> None:
    long = Prompt(prompt.text, prompt.token_ids * 8, prompt.pixels)
    with pytest.raises(ModelError, match=r"prompt of .* expected 1\.\.320"):
        greedy_reply(float_graphs(components, 16), long, 1, ())


def test_greedy_reply_picture_missing_is_refused(components: Components, prompt: Prompt) -> None:
    short = Prompt(prompt.text, prompt.token_ids, prompt.pixels[:1])
    with pytest.raises(ModelError, match="image tokens; expected"):
        greedy_reply(float_graphs(components, 16), short, 1, ())


def test_greedy_reply_observer_sees_every_call_with_contract_shapes(
    components: Components, prompt: Prompt
) -> None:
    calls: list[GraphCall] = []
    greedy_reply(float_graphs(components, 16, calls.append), prompt, 3, ())
    chunks = -(-len(prompt.token_ids) // 16)
    assert [(call.component, call.ar_len) for call in calls] == [
        *[("vision_encoder", None)] * 2,
        *[("tok_embedding", 16)] * chunks,
        *[("text_decoder", 16)] * chunks,
        *[("tok_embedding", 1), ("text_decoder", 1)] * 2,
    ]
    for call in calls:
        if call.component == "text_decoder":
            example = components.text_decoder.example_inputs(call.ar_len or 0)
            assert [(t.shape, t.dtype) for t in call.inputs] == [
                (t.shape, t.dtype) for t in example
            ]


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
