"""What upstream's scripts need and this installation lacks, replaced where they look for it.

None of it takes part in compiling a SmolVLM: torchtune converts other models' checkpoints,
datasets and lm_eval fetch texts, pydot draws graphs. Without something of that name the scripts
do not even import. What does take part is the picture processor, which transformers only builds
where torchvision is installed; its stand-in gives the same tensors from the PIL one.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

_UNUSED_PACKAGES = ("torchtune", "datasets", "lm_eval", "pydot")


class NotInstalled:
    """Any name of a package that is not there: may be a base class, must not be used."""

    def __init__(self, *_: Any, **__: Any) -> None:
        raise RuntimeError(f"{type(self).__name__}: upstream used what it was said not to use")


class _EmptyModule(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return NotInstalled


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds every module of the packages that are missing, each empty."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = frozenset(packages)

    def find_spec(
        self, fullname: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self._packages:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _EmptyModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """There is nothing in it."""


def stand_in_for_packages() -> list[str]:
    """Make upstream's scripts importable; the packages that needed a stand-in."""
    missing = [name for name in _UNUSED_PACKAGES if importlib.util.find_spec(name) is None]
    sys.meta_path.append(_Finder(missing))
    return missing


class PilProcessor:
    """`AutoProcessor` of a SmolVLM as far as upstream calls it: pictures to tensors."""

    def __init__(self, source: str) -> None:
        from transformers.models.smolvlm.image_processing_pil_smolvlm import (
            SmolVLMImageProcessorPil,
        )

        self._images = SmolVLMImageProcessorPil.from_pretrained(source)

    @classmethod
    def from_pretrained(cls, source: str) -> PilProcessor:
        return cls(source)

    def __call__(self, *, images: Sequence[Any], **_: Any) -> Any:
        """One whole tile per picture, which upstream's own options ask for too."""
        pictures = [image.convert("RGB") for image in images]
        return self._images(images=pictures, return_tensors="pt", do_image_splitting=False)


def write_params(config: Any, path: Path) -> None:
    """The geometry of a decoder as upstream's `ModelArgs`; the wheel ships no such file."""
    text = config.text_config
    params = {
        "dim": text.hidden_size,
        "hidden_dim": text.intermediate_size,
        "n_layers": text.num_hidden_layers,
        "n_heads": text.num_attention_heads,
        "n_kv_heads": text.num_key_value_heads,
        "head_dim": text.head_dim,
        "vocab_size": text.vocab_size,
        "norm_eps": text.rms_norm_eps,
        "rope_theta": text.rope_parameters["rope_theta"],
        "use_hf_rope": True,
    }
    path.write_text(json.dumps(params), encoding="utf-8")
