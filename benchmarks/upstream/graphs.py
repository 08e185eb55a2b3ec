"""Upstream's converted graphs in PyTorch, asked as our runner asks their PTEs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from PIL import Image
from torch.utils import _pytree as pytree

from benchmarks.upstream.job import Question, UpstreamJob
from models.checkpoint import Checkpoint, load_checkpoint
from models.components import build_components
from models.generate import Graphs, greedy_reply
from models.prompt import Turn, build_prompts
from models.registry import find_family


def answer(job: UpstreamJob, manager: Any, question: Question) -> dict[str, object]:
    """Greedy tokens, and at each the distance of the two best logits in quantisation steps."""
    checkpoint = load_checkpoint(find_family("smolvlm"), job.checkpoint)
    components = build_components(checkpoint, job.max_seq_len)
    graphs = converted_graphs(job, manager, checkpoint, components.text_decoder.config)
    with Image.open(question.image) as picture:
        turn = Turn(question.prompt, (picture.convert("RGB"),))
    (prompt,) = build_prompts(checkpoint, [turn], components.vision_encoder.image_tokens)
    reply = greedy_reply(graphs, prompt, question.max_new_tokens, checkpoint.stop_token_ids)
    step = manager.text_decoder.decode.meta["get_logits_scale"]
    margins = [
        float(first - second) / step
        for first, second in (logits.topk(2).values for logits in reply.logits)
    ]
    return {
        "token_ids": reply.token_ids,
        "margins_in_steps": [round(margin, 1) for margin in margins],
        "text": checkpoint.tokenizer.decode(reply.token_ids, skip_special_tokens=True),
    }


def converted_graphs(job: UpstreamJob, manager: Any, checkpoint: Checkpoint, config: Any) -> Graphs:
    """The graphs after `convert_pt2e` and upstream's copying of encodings."""
    decode, prefill = manager.text_decoder.decode, manager.text_decoder.prefill
    wide = job.prefill_ar_len
    return Graphs(
        vision_encoder=_first(manager.vision_encoder.model),
        tok_embedding={1: _first(decode.tok_embedding), wide: _first(prefill.tok_embedding)},
        text_decoder={1: _flat(decode.decoder), wide: _flat(prefill.decoder)},
        config=config,
        image_token_id=checkpoint.image_token_id,
    )


def _flat(graph: Any) -> Callable[..., list[torch.Tensor]]:
    """Logits, then K and V of all layers: upstream's graph gives lists inside a tuple."""
    return lambda *inputs: pytree.tree_leaves(graph(*inputs))


def _first(graph: Any) -> Callable[..., torch.Tensor]:
    return lambda *inputs: pytree.tree_leaves(graph(*inputs))[0]
