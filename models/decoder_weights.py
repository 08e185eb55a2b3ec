"""Reads geometry and weights of transformers' Llama, Qwen2 and Qwen3 into a `TextDecoder`."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from models.decoder import DecoderConfig, TextDecoder, rope_tables
from models.errors import ModelError


def build_text_decoder(
    text_model: nn.Module, head_weight: torch.Tensor, context_length: int
) -> TextDecoder:
    """The static decoder of a transformers Llama, Qwen2 or Qwen3 model.

    Args:
        text_model: the transformers decoder without its head, float32.
        head_weight: (vocab, dim), tied or not.
        context_length: positions the exported graphs can see.

    Parameters are shared with `text_model` where the value is the same, so that a second
    copy of the weights is not held.

    Raises:
        ModelError: the model has a part that the static decoder lacks.
    """
    config = decoder_config(text_model, head_weight.shape[0], context_length)
    with torch.device("meta"):
        decoder = TextDecoder(config)
    weights = decoder_weights(text_model, config)
    weights["head.weight"] = _as_conv(head_weight)
    weights["rope_cos"], weights["rope_sin"] = rope_tables(config)
    decoder.load_state_dict(weights, strict=True, assign=True)
    return decoder.requires_grad_(False).eval()


def decoder_config(text_model: nn.Module, vocab_size: int, context_length: int) -> DecoderConfig:
    """Geometry and options, read from a transformers text model and its config."""
    hf: Any = text_model.config
    attention: Any = text_model.get_submodule("layers.0.self_attn")
    if hf.hidden_act != "silu":
        raise ModelError(f"decoder activation {hf.hidden_act!r}", "'silu'")
    if hf.rope_parameters["rope_type"] != "default":
        raise ModelError(f"rope type {hf.rope_parameters['rope_type']!r}", "'default'")
    if any(kind != "full_attention" for kind in getattr(hf, "layer_types", None) or ()):
        raise ModelError(f"attention kinds {sorted(set(hf.layer_types))}", "'full_attention'")
    if context_length > hf.max_position_embeddings:
        raise ModelError(
            f"context length {context_length}", f"at most {hf.max_position_embeddings}"
        )
    return DecoderConfig(
        dim=hf.hidden_size,
        n_layers=hf.num_hidden_layers,
        n_heads=hf.num_attention_heads,
        n_kv_heads=hf.num_key_value_heads,
        head_dim=attention.head_dim,
        ffn_dim=hf.intermediate_size,
        vocab_size=vocab_size,
        context_length=context_length,
        norm_eps=hf.rms_norm_eps,
        rope_theta=hf.rope_parameters["rope_theta"],
        qkv_bias=attention.q_proj.bias is not None,
        qk_norm=hasattr(attention, "q_norm"),
    )


_LAYER_PARAMETERS = {
    "self_attn.q_proj.weight": "attention.q.weight",
    "self_attn.k_proj.weight": "attention.k.weight",
    "self_attn.v_proj.weight": "attention.v.weight",
    "self_attn.o_proj.weight": "attention.o.weight",
    "self_attn.q_proj.bias": "attention.q.bias",
    "self_attn.k_proj.bias": "attention.k.bias",
    "self_attn.v_proj.bias": "attention.v.bias",
    "self_attn.q_norm.weight": "attention.q_norm.weight",
    "self_attn.k_norm.weight": "attention.k_norm.weight",
    "mlp.gate_proj.weight": "ffn.gate.weight",
    "mlp.up_proj.weight": "ffn.up.weight",
    "mlp.down_proj.weight": "ffn.down.weight",
    "input_layernorm.weight": "attention_norm.weight",
    "post_attention_layernorm.weight": "ffn_norm.weight",
}


def decoder_weights(text_model: nn.Module, config: DecoderConfig) -> dict[str, torch.Tensor]:
    """The layers' and final norm's weights under this module's names.

    The attention scale head_dim ** -0.5 is folded into the last thing that is linear in the
    query: its norm, or else its projection. That spares a multiplication over (H, AR, CL)
    and, weights being quantised per channel, changes no quantised value.
    """
    scaled = ("self_attn.q_norm.",) if config.qk_norm else ("self_attn.q_proj.",)
    weights = {"norm.weight": text_model.get_parameter("norm.weight").detach()}
    for index in range(config.n_layers):
        layer = text_model.get_submodule(f"layers.{index}")
        for theirs, tensor in layer.state_dict().items():
            if theirs not in _LAYER_PARAMETERS:
                known = ", ".join(_LAYER_PARAMETERS)
                raise ModelError(f"decoder layer parameter {theirs!r}", f"one of {known}")
            value = tensor * config.head_dim**-0.5 if theirs.startswith(scaled) else tensor
            value = _as_conv(value) if value.dim() == 2 else value
            weights[f"layers.{index}.{_LAYER_PARAMETERS[theirs]}"] = value
    return weights


def _as_conv(weight: torch.Tensor) -> torch.Tensor:
    """(out, in) -> (out, in, 1, 1), the same memory."""
    return weight.detach()[:, :, None, None]
