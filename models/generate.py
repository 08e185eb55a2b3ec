"""Greedy generation through the static graphs, step for step as the C++ runner does it.

It is the float reference of a bundle, and it lets a caller see the exact inputs of each
graph call, which is what calibration needs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from models.checkpoint import Checkpoint
from models.components import Components
from models.decoder import DecoderConfig, attention_mask
from models.errors import ModelError
from models.prompt import Prompt

VISION_ENCODER = "vision_encoder"
TOK_EMBEDDING = "tok_embedding"
TEXT_DECODER = "text_decoder"

Graph = Callable[..., Any]


@dataclass(frozen=True)
class GraphCall:
    """One call of one graph. `ar_len` is None for the vision encoder."""

    component: str
    ar_len: int | None
    inputs: tuple[torch.Tensor, ...]


OnCall = Callable[[GraphCall], None]


@dataclass(frozen=True)
class Graphs:
    """What the loop calls: float modules, or exported or quantised graphs of them.

    `tok_embedding` and `text_decoder` map an AR length to its graph; both have key 1, and
    for hybrid mode the prefill length too.
    """

    vision_encoder: Graph
    tok_embedding: Mapping[int, Graph]
    text_decoder: Mapping[int, Graph]
    config: DecoderConfig
    image_token_id: int
    on_call: OnCall | None = None

    @property
    def prefill_ar_len(self) -> int:
        return max(self.text_decoder)

    def call(self, component: str, ar_len: int | None, *inputs: torch.Tensor) -> Any:
        """Run one graph, after telling the observer."""
        if self.on_call is not None:
            self.on_call(GraphCall(component, ar_len, inputs))
        if component == VISION_ENCODER:
            return self.vision_encoder(*inputs)
        by_ar_len = self.tok_embedding if component == TOK_EMBEDDING else self.text_decoder
        assert ar_len is not None
        return by_ar_len[ar_len](*inputs)


def float_graphs(
    components: Components, prefill_ar_len: int = 1, on_call: OnCall | None = None
) -> Graphs:
    """The float modules themselves; `prefill_ar_len` 1 is kv mode, above it hybrid mode."""
    ar_lens = sorted({1, prefill_ar_len})
    return Graphs(
        vision_encoder=components.vision_encoder,
        tok_embedding=dict.fromkeys(ar_lens, components.tok_embedding),
        text_decoder=dict.fromkeys(ar_lens, components.text_decoder),
        config=components.text_decoder.config,
        image_token_id=components.image_token_id,
        on_call=on_call,
    )


class KvCache:
    """K and V of all layers at full context length, filled from index 0.

    Graphs of different AR lengths take views of its first CL - AR entries.
    """

    def __init__(self, config: DecoderConfig) -> None:
        heads, dim, length = config.n_kv_heads, config.head_dim, config.context_length
        self.n_past = 0
        self._context_length = length
        self._ks = [torch.zeros(1, heads, dim, length) for _ in range(config.n_layers)]
        self._vs = [torch.zeros(1, heads, length, dim) for _ in range(config.n_layers)]

    def inputs(self, ar_len: int) -> tuple[torch.Tensor, ...]:
        """Copies for a graph of `ar_len`: all K, then all V."""
        past = self._context_length - ar_len
        return (
            *(k[..., :past].clone() for k in self._ks),
            *(v[:, :, :past].clone() for v in self._vs),
        )

    def append(self, new_entries: Sequence[torch.Tensor], count: int) -> None:
        """Keep the first `count` entries of a graph's new K and V outputs."""
        begin, end = self.n_past, self.n_past + count
        new_ks, new_vs = new_entries[: len(self._ks)], new_entries[len(self._ks) :]
        for cached, new in zip(self._ks, new_ks, strict=True):
            cached[..., begin:end] = new[..., :count]
        for cached, new in zip(self._vs, new_vs, strict=True):
            cached[:, :, begin:end] = new[:, :, :count]
        self.n_past = end


@dataclass
class Reply:
    """Generated ids (the stop token included) and the logits each was chosen from."""

    token_ids: list[int] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)  # each (vocab,)
    stop_reason: str = "max_new_tokens"  # or stop_token, context_full


def greedy_reply(
    graphs: Graphs, prompt: Prompt, max_new_tokens: int, stop_ids: Sequence[int]
) -> Reply:
    """The reply of a conversation of one turn; see `greedy_replies`."""
    return greedy_replies(graphs, [prompt], max_new_tokens, stop_ids)[0]


@torch.no_grad()
def greedy_replies(
    graphs: Graphs, prompts: Sequence[Prompt], max_new_tokens: int, stop_ids: Sequence[int]
) -> list[Reply]:
    """A reply to each turn of one conversation.

    Encode pictures, prefill in chunks of the prefill AR length, decode one by one. Before a
    later turn the stop token that ended the reply enters the cache; a reply that ended without
    one is closed with the first of `stop_ids`.

    Args:
        max_new_tokens: per turn.

    Raises:
        ModelError: a prompt does not fit into what is left of the context, or its image tokens
            do not match its pictures.
    """
    cache = KvCache(graphs.config)
    replies: list[Reply] = []
    for prompt in prompts:
        if replies:
            _close(graphs, replies[-1], cache, stop_ids)
        replies.append(_reply_to(graphs, prompt, cache, max_new_tokens, stop_ids))
    return replies


def _reply_to(
    graphs: Graphs, prompt: Prompt, cache: KvCache, max_new_tokens: int, stop_ids: Sequence[int]
) -> Reply:
    logits = prefill(graphs, prompt, cache)[-1]
    reply = Reply()
    while len(reply.token_ids) < max_new_tokens:
        token = int(logits.argmax())
        reply.token_ids.append(token)
        reply.logits.append(logits)
        if token in stop_ids:
            reply.stop_reason = "stop_token"
            break
        if cache.n_past == graphs.config.context_length:
            reply.stop_reason = "context_full"
            break
        if len(reply.token_ids) < max_new_tokens:
            logits = decode(graphs, embed(graphs, [token], 1), cache)[-1]
    return reply


def _close(graphs: Graphs, reply: Reply, cache: KvCache, stop_ids: Sequence[int]) -> None:
    """Put into the cache what a reply still owes it: its last token, and a stop token."""
    owed = reply.token_ids[-1:]
    if reply.stop_reason != "stop_token":
        owed = [*owed, stop_ids[0]]
    if cache.n_past + len(owed) > graphs.config.context_length:
        raise ModelError("a further turn", f"room in {graphs.config.context_length} positions")
    for token in owed:
        decode(graphs, embed(graphs, [token], 1), cache)


def prefill(graphs: Graphs, prompt: Prompt, cache: KvCache) -> torch.Tensor:
    """Logits (prompt length, vocab) of a whole prompt; the cache is extended by it.

    Raises:
        ModelError: as `greedy_replies`.
    """
    length, free = len(prompt.token_ids), graphs.config.context_length - cache.n_past
    if not 1 <= length <= free:
        raise ModelError(f"prompt of {length} tokens", f"1..{free}")
    features = [graphs.call(VISION_ENCODER, None, picture[None])[0] for picture in prompt.pixels]
    slots = [i for i, token in enumerate(prompt.token_ids) if token == graphs.image_token_id]
    merged = torch.cat(features) if features else torch.zeros(0, graphs.config.dim)
    if len(slots) != len(merged):
        raise ModelError(f"{len(slots)} image tokens", f"{len(merged)}, one per image feature")
    ar_len = graphs.prefill_ar_len
    hidden = embed(graphs, prompt.token_ids, ar_len)
    hidden[slots] = merged
    return torch.cat([decode(graphs, chunk, cache, ar_len) for chunk in hidden.split(ar_len)])


def embed(graphs: Graphs, token_ids: Sequence[int], ar_len: int) -> torch.Tensor:
    """Embeddings (len, dim) of any number of ids, in padded chunks of `ar_len`."""
    rows = []
    for begin in range(0, len(token_ids), ar_len):
        chunk = list(token_ids[begin : begin + ar_len])
        padded = chunk + [0] * (ar_len - len(chunk))
        ids = torch.tensor([padded], dtype=torch.int32)
        rows.append(graphs.call(TOK_EMBEDDING, ar_len, ids)[0, : len(chunk)])
    return torch.cat(rows)


def decode(graphs: Graphs, hidden: torch.Tensor, cache: KvCache, ar_len: int = 1) -> torch.Tensor:
    """Logits (n, vocab) of the next n <= ar_len positions, hidden (n, dim); extends the cache.

    Rows beyond n are zeros at the positions that follow (at most the last one of the
    context); being later they are invisible to the n, and they never enter the cache.
    """
    config, count = graphs.config, len(hidden)
    if cache.n_past > config.context_length - ar_len:
        return _decode_singly(graphs, hidden, cache)
    padded = torch.zeros(1, ar_len, config.dim)
    padded[0, :count] = hidden
    positions = torch.arange(cache.n_past, cache.n_past + ar_len, dtype=torch.int32)
    outputs = graphs.call(
        TEXT_DECODER,
        ar_len,
        padded,
        attention_mask(ar_len, config.context_length, cache.n_past),
        positions.clamp(max=config.context_length - 1)[None],
        *cache.inputs(ar_len),
    )
    logits, *new_entries = outputs
    cache.append(new_entries, count)
    return logits[0, :count]


def _decode_singly(graphs: Graphs, hidden: torch.Tensor, cache: KvCache) -> torch.Tensor:
    """For the tail of a context that is no multiple of AR: its cache input is too short."""
    return torch.cat([decode(graphs, row[None], cache) for row in hidden])


@torch.no_grad()
def greedy_hf(
    checkpoint: Checkpoint, prompt: Prompt, max_new_tokens: int, stop_ids: Sequence[int]
) -> list[int]:
    """The same reply by the stock transformers model, the stop token included."""
    ids = torch.tensor([prompt.token_ids])
    generated = checkpoint.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        pixel_values=stock_pixels(checkpoint, prompt.pixels),
        max_new_tokens=max_new_tokens,
        do_sample=False,
        eos_token_id=list(stop_ids),
        pad_token_id=next(iter(stop_ids), 0),
    )
    return [int(token) for token in generated[0, ids.shape[1] :]]


def stock_pixels(checkpoint: Checkpoint, pixels: torch.Tensor) -> torch.Tensor | None:
    """Tiles (n_tiles, 3, H, W) as the stock model takes them; None for none."""
    if not len(pixels):
        return None
    return pixels[None] if checkpoint.family.nested_pictures else pixels
