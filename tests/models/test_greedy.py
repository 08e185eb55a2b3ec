"""Greedy replies are those of transformers' generate, over turns and at the end of a context."""

from __future__ import annotations

import pytest
import torch
from torch.testing import assert_close

from models.checkpoint import Checkpoint
from models.components import Components, build_components
from models.errors import ModelError
from models.generate import GraphCall, float_graphs, greedy_hf, greedy_replies, greedy_reply
from models.prompt import Prompt, Turn, build_prompts
from tests.models.geometries import noise_picture
from tests.models.stock import TOLERANCE, stock_logits


def three_turns() -> list[Turn]:
    """Two pictures at first, then none, then one."""
    pictures = [noise_picture(60, 40, seed=seed) for seed in range(3)]
    return [
        Turn("Which is it?", tuple(pictures[:2])),
        Turn("Why?"),
        Turn("And now?", tuple(pictures[2:])),
    ]


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
