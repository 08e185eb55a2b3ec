"""Random checkpoints of every family, saved to and loaded from a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from models.checkpoint import Checkpoint, load_checkpoint
from models.components import Components, build_components
from models.prompt import Prompt, build_prompt
from models.registry import find_family
from tests.models.geometries import (
    GEOMETRIES,
    Geometry,
    noise_picture,
    save_checkpoint,
)

CONTEXT_LENGTH = 320


@pytest.fixture(scope="session", params=GEOMETRIES, ids=lambda geometry: geometry.id)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Checkpoint:
    """A random checkpoint, once per geometry, through the product's own loader."""
    folder = tmp_path_factory.mktemp("checkpoint")
    save_checkpoint(request.param, folder)
    return load_checkpoint(find_family(request.param.family), folder)


@pytest.fixture(scope="session")
def components(checkpoint: Checkpoint) -> Components:
    """The static modules of `checkpoint`, for CONTEXT_LENGTH positions."""
    return build_components(checkpoint, CONTEXT_LENGTH)


@pytest.fixture(scope="session", params=["smolvlm", "internvl_qwen2", "internvl_qwen3"])
def small_components(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Components:
    """The static modules of one geometry per text model, for what is slow."""
    folder = tmp_path_factory.mktemp("small")
    geometry = Geometry(request.param)
    save_checkpoint(geometry, folder)
    return build_components(load_checkpoint(find_family(geometry.family), folder), CONTEXT_LENGTH)


@pytest.fixture(scope="session")
def prompt(checkpoint: Checkpoint, components: Components) -> Prompt:
    """A question about two noisy pictures, one wide and one tall."""
    pictures = [noise_picture(70, 40, seed=0), noise_picture(50, 90, seed=1)]
    image_tokens = components.vision_encoder.image_tokens
    return build_prompt(checkpoint, "Which is it?", pictures, image_tokens)


@pytest.fixture
def make_checkpoint_dir(tmp_path: Path) -> Callable[..., Path]:
    """Saves a random checkpoint in a fresh folder, for tests that spoil it."""

    def make(dtype: torch.dtype = torch.float32) -> Path:
        save_checkpoint(Geometry(), tmp_path, dtype)
        return tmp_path

    return make
