"""The three modules of a checkpoint, as they are exported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from models import decoder_weights
from models.checkpoint import Checkpoint
from models.decoder import TextDecoder
from models.embedding import TokenEmbedding


@dataclass(frozen=True)
class Components:
    """Float modules; each offers `example_inputs` to export with."""

    vision_encoder: Any  # models.family.VisionEncoder
    tok_embedding: TokenEmbedding
    text_decoder: TextDecoder
    image_token_id: int


def build_vision_encoder(checkpoint: Checkpoint) -> Any:
    """Pixels float32 (1, 3, H, W) -> float32 (1, T, dim).

    Raises:
        ModelError: the static encoder does not serve this vision config.
    """
    return checkpoint.family.build_vision_encoder(checkpoint.model)


def build_tok_embedding(checkpoint: Checkpoint) -> TokenEmbedding:
    """Token ids int32 (1, AR) -> float32 (1, AR, dim)."""
    return TokenEmbedding(checkpoint.model.get_input_embeddings().weight)


def build_text_decoder(checkpoint: Checkpoint, context_length: int) -> TextDecoder:
    """The decoder with its head, for any AR below `context_length`.

    Raises:
        ModelError: the static decoder does not serve this text config or length.
    """
    return decoder_weights.build_text_decoder(
        checkpoint.family.text_model(checkpoint.model),
        checkpoint.model.get_output_embeddings().weight,
        context_length,
    )


def build_components(checkpoint: Checkpoint, context_length: int) -> Components:
    """All three, when one process needs them; weights are shared with the checkpoint."""
    return Components(
        vision_encoder=build_vision_encoder(checkpoint),
        tok_embedding=build_tok_embedding(checkpoint),
        text_decoder=build_text_decoder(checkpoint, context_length),
        image_token_id=checkpoint.image_token_id,
    )
