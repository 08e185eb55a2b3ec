"""SmolVLM: what is particular to this family.

The first generation (SmolVLM-256M and -500M) was published as transformers' `idefics3`, the
second as `smolvlm`. The two models have the same modules, names and arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import Idefics3ForConditionalGeneration, SmolVLMForConditionalGeneration
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from models.errors import ModelError
from models.family import Family, TileLayout
from models.vision import VitConfig, VitLayer, pixel_shuffle


class SmolVlmVisionEncoder(nn.Module):
    """ViT, pixel shuffle and projection into the decoder's space.

    Pixels float32 (1, 3, H, W), normalised as the image processor does -> float32
    (1, T, dim) with T = (patches per side / scale_factor) ** 2.
    """

    def __init__(self, config: VitConfig, scale_factor: int, out_dim: int) -> None:
        super().__init__()
        self.config = config
        self.scale_factor = scale_factor
        patch, n_patches = config.patch_size, config.patches_per_side**2
        self.patches = nn.Conv2d(config.n_channels, config.dim, patch, patch)
        self.register_buffer("positions", torch.zeros(1, n_patches, config.dim))
        self.layers = nn.ModuleList([VitLayer(config) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(config.dim, config.norm_eps)
        self.projection = nn.Linear(config.dim * scale_factor**2, out_dim, bias=False)

    @property
    def image_tokens(self) -> int:
        return (self.config.patches_per_side // self.scale_factor) ** 2

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions  # (1, N, dim)
        for layer in self.layers:
            x = layer(x)
        x = pixel_shuffle(self.norm(x), self.config.patches_per_side, self.scale_factor)
        return self.projection(x)

    def example_inputs(self) -> tuple[torch.Tensor]:
        """Inputs of the shapes to export with; a grey picture."""
        size = self.config.image_size
        return (torch.zeros(1, self.config.n_channels, size, size),)


_LAYER_NAMES = {
    "self_attn.q_proj": "attention.q",
    "self_attn.k_proj": "attention.k",
    "self_attn.v_proj": "attention.v",
    "self_attn.out_proj": "attention.o",
    "layer_norm1": "attention_norm",
    "layer_norm2": "ffn_norm",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
}


def build_vision_encoder(model: Any) -> SmolVlmVisionEncoder:
    """The static encoder of a loaded model of this family; weights are shared.

    Raises:
        ModelError: the picture is not a whole number of patches, or those not of blocks.
    """
    hf: Any = model.config.vision_config
    config = VitConfig(
        image_size=hf.image_size,
        patch_size=hf.patch_size,
        n_channels=hf.num_channels,
        dim=hf.hidden_size,
        n_layers=hf.num_hidden_layers,
        n_heads=hf.num_attention_heads,
        ffn_dim=hf.intermediate_size,
        norm_eps=hf.layer_norm_eps,
        activation=hf.hidden_act,
    )
    factor = model.config.scale_factor
    if config.patches_per_side % factor:
        raise ModelError(f"{config.patches_per_side} patches per side", f"a multiple of {factor}")
    with torch.device("meta"):
        encoder = SmolVlmVisionEncoder(config, factor, model.config.text_config.hidden_size)
    encoder.load_state_dict(_vision_weights(model.model), strict=True, assign=True)
    return encoder.requires_grad_(False).eval()


def _vision_weights(model: Any) -> dict[str, torch.Tensor]:
    """The tower's and connector's weights under this module's names."""
    tower = model.vision_model
    weights = {
        "positions": full_image_positions(tower.embeddings),
        "projection.weight": model.connector.modality_projection.proj.weight.detach(),
    }
    for ours, module in (
        ("patches", tower.embeddings.patch_embedding),
        ("norm", tower.post_layernorm),
    ):
        weights |= {f"{ours}.{kind}": tensor for kind, tensor in module.state_dict().items()}
    for index, layer in enumerate(tower.encoder.layers):
        for theirs, tensor in layer.state_dict().items():
            module_name, kind = theirs.rsplit(".", 1)
            weights[f"layers.{index}.{_LAYER_NAMES[module_name]}.{kind}"] = tensor
    return weights


def full_image_positions(embeddings: Any) -> torch.Tensor:
    """Position embeddings (1, N, dim) of a picture without padding.

    transformers buckets fractional coordinates in float32, which for some patch counts is
    not simply 0..N-1; so its own code is run once and the rows it looked up are kept.
    """
    size = embeddings.image_size
    side = embeddings.num_patches_per_side
    rows: list[torch.Tensor] = []
    handle = embeddings.position_embedding.register_forward_hook(
        lambda _module, _inputs, output: rows.append(output.detach())
    )
    try:
        with torch.no_grad():
            embeddings(
                pixel_values=torch.zeros(1, embeddings.patch_embedding.in_channels, size, size),
                patch_attention_mask=torch.ones(1, side, side, dtype=torch.bool),
            )
    finally:
        handle.remove()
    return rows[0].clone()


def tile_layouts(features: Any) -> list[TileLayout]:
    """The grid each picture was split into, besides the whole picture as last tile."""
    grids = zip(features["rows"][0], features["cols"][0], strict=True)
    return [TileLayout(rows * cols + 1, rows, cols) for rows, cols in grids]


def image_prompt(tokenizer: Any, image_tokens: int, layout: TileLayout) -> str:
    """What stands in the prompt for one picture."""
    return get_image_prompt_string(
        layout.rows,
        layout.cols,
        image_tokens,
        fake_token_around_image=getattr(tokenizer, "fake_image_token", "<fake_token_around_image>"),
        image_token=image_token(tokenizer),
        global_image_token=getattr(tokenizer, "global_image_token", "<global-img>"),
    )


def image_token(tokenizer: Any) -> str:
    """The placeholder token, once per picture in the chat template's output."""
    return getattr(tokenizer, "image_token", "<image>")


FAMILY = Family(
    name="smolvlm",
    model_classes={
        "smolvlm": SmolVLMForConditionalGeneration,
        "idefics3": Idefics3ForConditionalGeneration,
    },
    image_processor_class=SmolVLMImageProcessorPil,
    image_processor_options={"return_row_col_info": True},
    splitting_option="do_image_splitting",
    tile_layouts=tile_layouts,
    nested_pictures=True,
    build_vision_encoder=build_vision_encoder,
    text_model=lambda model: model.model.text_model,
    image_token=image_token,
    image_prompt=image_prompt,
)
