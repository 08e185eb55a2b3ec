"""What the float model's logits are, for bundles whose spec bounds them. Imports torch."""

from __future__ import annotations

from pathlib import Path

import torch

from harness.accuracy.logits import perplexity
from harness.manifest import CaseInputs, TurnInputs
from harness.references import (
    FloatPerplexity,
    perplexity_name,
    reference_logits_name,
    write_float_perplexity,
)
from models.checkpoint import Checkpoint
from models.errors import ModelError
from models.generate import Graphs, KvCache, Reply, prefill
from models.prompt import Prompt


def write_reference_logits(folder: Path, case: str, reply: Reply) -> None:
    """Write all logits of a reply: one row of float32 (vocab,) per token."""
    rows = torch.stack(reply.logits).to(torch.float32)  # (tokens, vocab)
    (folder / reference_logits_name(case)).write_bytes(rows.numpy().tobytes())


def prepare_perplexity(
    folder: Path, text: str, checkpoint: Checkpoint, graphs: Graphs
) -> CaseInputs:
    """The inputs of a run over a text, and how the float model takes it.

    The text stands alone, without the chat template: its first token is the prompt, and each
    of the others is predicted from those before it.

    Raises:
        ModelError: it is a single token, or does not fit into the context.
    """
    ids = [int(token) for token in checkpoint.tokenizer(text)["input_ids"]]
    if len(ids) < 2:
        raise ModelError(f"a perplexity text of {len(ids)} tokens", "two or more")
    prompt = Prompt(text, tuple(ids), torch.zeros(0))
    with torch.no_grad():
        rows = prefill(graphs, prompt, KvCache(graphs.config))[:-1]  # (tokens - 1, vocab)
    name = perplexity_name()
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write_float_perplexity(
        folder / name, FloatPerplexity(perplexity(rows.tolist(), ids[1:]), len(ids) - 1)
    )
    turn = TurnInputs(
        prompt_text=text,
        prompt_token_ids=tuple(ids[:1]),
        images=(),
        reference_token_ids=tuple(ids[1:]),
        reference_text=text,
    )
    return CaseInputs(inputs_sha256="", turns=(turn,), reference_path=None)
