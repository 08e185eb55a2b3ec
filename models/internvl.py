"""InternVL3 and InternVL3.5: what is particular to this family.

The decoder is Qwen2 in InternVL3 and Qwen3 in InternVL3.5-1B; both are the common static one.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from transformers import InternVLForConditionalGeneration
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

from models.errors import ModelError
from models.family import Family, TileLayout
from models.vision import VitConfig, VitLayer, pixel_shuffle


class InternVlVisionEncoder(nn.Module):
    """InternViT, pixel shuffle and projection into the decoder's space.

    Pixels float32 (1, 3, H, W), normalised as the image processor does -> float32
    (1, T, dim) with T = (patches per side / factor) ** 2.
    """

    def __init__(self, config: VitConfig, factor: int, out_dim: int, final_norm: bool) -> None:
        super().__init__()
        self.config = config
        self.factor = factor
        self.patches = nn.Conv2d(
            config.n_channels, config.dim, config.patch_size, config.patch_size
        )
        # The class token with its position: nothing in it depends on the picture.
        self.register_buffer("class_row", torch.zeros(1, 1, config.dim))
        self.register_buffer("positions", torch.zeros(1, config.patches_per_side**2, config.dim))
        self.layers = nn.ModuleList([VitLayer(config) for _ in range(config.n_layers)])
        self.norm = nn.LayerNorm(config.dim, config.norm_eps) if final_norm else nn.Identity()
        self.projector_norm = nn.LayerNorm(config.dim * factor**2)
        self.up = nn.Linear(config.dim * factor**2, out_dim)
        self.down = nn.Linear(out_dim, out_dim)

    @property
    def image_tokens(self) -> int:
        return (self.config.patches_per_side // self.factor) ** 2

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        x = self.patches(pixels).flatten(2).transpose(1, 2) + self.positions  # (1, N, dim)
        x = torch.cat([self.class_row, x], dim=1)
        for layer in self.layers:
            x = layer(x)
        x = pixel_shuffle(self.norm(x[:, 1:]), self.config.patches_per_side, self.factor)
        return self.down(F.gelu(self.up(self.projector_norm(x))))

    def example_inputs(self) -> tuple[torch.Tensor]:
        """Inputs of the shapes to export with; a grey picture."""
        size = self.config.image_size
        return (torch.zeros(1, self.config.n_channels, size, size),)


def build_vision_encoder(model: Any) -> InternVlVisionEncoder:
    """The static encoder of a loaded model of this family; weights are shared where equal.

    Raises:
        ModelError: the config asks for something that the static encoder lacks.
    """
    hf: Any = model.config
    vision = hf.vision_config
    _check_served(hf)
    config = VitConfig(
        image_size=vision.image_size[0],
        patch_size=vision.patch_size[0],
        n_channels=vision.num_channels,
        dim=vision.hidden_size,
        n_layers=vision.num_hidden_layers,
        n_heads=vision.num_attention_heads,
        ffn_dim=vision.intermediate_size,
        norm_eps=vision.layer_norm_eps,
        activation=vision.hidden_act,
        qk_norm=vision.use_qk_norm,
        rms_norm=vision.norm_type == "rms_norm",
    )
    factor = round(1 / hf.downsample_ratio)
    if config.patches_per_side % factor:
        raise ModelError(f"{config.patches_per_side} patches per side", f"a multiple of {factor}")
    final_norm = not vision.use_mean_pooling
    with torch.device("meta"):
        encoder = InternVlVisionEncoder(config, factor, hf.text_config.hidden_size, final_norm)
    encoder.load_state_dict(_vision_weights(model.model, config), strict=True, assign=True)
    return encoder.requires_grad_(False).eval()


def _check_served(config: Any) -> None:
    """Raise ModelError for settings that no published checkpoint has."""
    vision = config.vision_config
    served = {
        "vision_feature_layer": (config.vision_feature_layer, -1),
        "vision_feature_select_strategy": (config.vision_feature_select_strategy, "default"),
        "projector_hidden_act": (config.projector_hidden_act, "gelu"),
        "image_size": (vision.image_size[1], vision.image_size[0]),
        "patch_size": (vision.patch_size[1], vision.patch_size[0]),
        "use_absolute_position_embeddings": (vision.use_absolute_position_embeddings, True),
    }
    for name, (found, expected) in served.items():
        if found != expected:
            raise ModelError(f"{name} {found!r}", repr(expected))


_LAYER_NAMES = {
    "attention.q_proj": "attention.q",
    "attention.k_proj": "attention.k",
    "attention.v_proj": "attention.v",
    "attention.projection_layer": "attention.o",
    "attention.q_norm": "attention.q_norm",
    "attention.k_norm": "attention.k_norm",
    "layernorm_before": "attention_norm",
    "layernorm_after": "ffn_norm",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
}
_LAYER_SCALES = {"attention.projection_layer": "lambda_1", "mlp.fc2": "lambda_2"}
_PROJECTOR_NAMES = {"layer_norm": "projector_norm", "linear_1": "up", "linear_2": "down"}


def _vision_weights(model: Any, config: VitConfig) -> dict[str, torch.Tensor]:
    """The tower's and projector's weights under this module's names."""
    tower = model.vision_tower
    positions = tower.embeddings.position_embeddings.detach()
    weights = {
        "class_row": tower.embeddings.cls_token.detach() + positions[:, :1],
        "positions": positions[:, 1:],
    }
    for ours, module in (
        ("patches", tower.embeddings.patch_embeddings.projection),
        ("norm", tower.layernorm),
    ):
        weights |= {f"{ours}.{kind}": tensor for kind, tensor in module.state_dict().items()}
    for index, layer in enumerate(tower.encoder.layer):
        for name, tensor in _layer_weights(layer, config).items():
            weights[f"layers.{index}.{name}"] = tensor
    for theirs, tensor in model.multi_modal_projector.state_dict().items():
        module_name, kind = theirs.rsplit(".", 1)
        weights[f"{_PROJECTOR_NAMES[module_name]}.{kind}"] = tensor
    return weights


def _layer_weights(layer: Any, config: VitConfig) -> dict[str, torch.Tensor]:
    """One layer's weights.

    The layer scales multiply the outputs of linear layers and are folded into these: two
    multiplications less, and, weights being quantised per channel, no quantised value changes.
    """
    stored = layer.state_dict()
    weights = {}
    for theirs, ours in _LAYER_NAMES.items():
        for kind in ("weight", "bias"):
            if f"{theirs}.{kind}" not in stored:
                continue
            tensor = stored[f"{theirs}.{kind}"]
            if theirs in _LAYER_SCALES:
                scale = stored[_LAYER_SCALES[theirs]]
                tensor = tensor * (scale[:, None] if tensor.dim() == 2 else scale)
            weights[f"{ours}.{kind}"] = tensor
    for name in "qkv":  # without attention_bias
        weights.setdefault(f"attention.{name}.bias", torch.zeros(config.dim))
    return weights


def tile_layouts(features: Any) -> list[TileLayout]:
    """How many tiles each picture became: those of a grid, then the whole picture."""
    return [TileLayout(int(count)) for count in features["num_patches"]]


def image_prompt(tokenizer: Any, image_tokens: int, layout: TileLayout) -> str:
    """What stands in the prompt for one picture."""
    start = getattr(tokenizer, "start_image_token", "<img>")
    end = getattr(tokenizer, "end_image_token", "</img>")
    return start + image_token(tokenizer) * (image_tokens * layout.tiles) + end


def image_token(tokenizer: Any) -> str:
    """The placeholder token, once per picture in the chat template's output."""
    return getattr(tokenizer, "context_image_token", "<IMG_CONTEXT>")


FAMILY = Family(
    name="internvl3",
    model_classes={"internvl": InternVLForConditionalGeneration},
    image_processor_class=GotOcr2ImageProcessorPil,
    splitting_option="crop_to_patches",
    tile_layouts=tile_layouts,
    build_vision_encoder=build_vision_encoder,
    text_model=lambda model: model.model.language_model,
    image_token=image_token,
    image_prompt=image_prompt,
    nested_pictures=False,
)
