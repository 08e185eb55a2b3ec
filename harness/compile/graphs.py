"""The graphs of one component: which there are, how they get their encodings.

Imports torch and executorch; used in compiler processes only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.fx import GraphModule

from harness.compile import quantize
from harness.compile.contract import METHOD_NAMES
from harness.compile.job import Job
from harness.compile.lower import Graph, HtpOptions
from models.generate import TEXT_DECODER

Inputs = tuple[torch.Tensor, ...]

_CALIBRATED_ONLY = "calibration"


@dataclass(frozen=True)
class Quantized:
    """A component before it is lowered.

    `measure_sqnr_db` compares the PTE made of it with the float module, whose weights it holds.
    """

    graphs: Mapping[str, Graph]
    options: HtpOptions
    measure_sqnr_db: Callable[[Path], float]


def method_widths(job: Job) -> dict[str, int | None]:
    """Tokens per call of each method of a component's PTE; None for a vision encoder."""
    names = METHOD_NAMES.get(job.part)
    if names is None:
        return {"forward": None}
    return dict(zip(names, job.ar_lens, strict=False))


def prepare_widths(job: Job, module: Any) -> dict[str, GraphModule]:
    """Observed graphs by method, and one more where the width to calibrate is no method's."""
    widths: dict[str, Any] = method_widths(job)
    if job.calibration_ar_len not in widths.values():
        widths |= {_CALIBRATED_ONLY: job.calibration_ar_len}
    return {
        name: quantize.prepare(module, module.example_inputs(width), job.soc, job.made_by)
        for name, width in widths.items()
    }


def calibrated_name(job: Job) -> str:
    """Which of the prepared graphs gives the others its encodings."""
    found = [name for name, width in method_widths(job).items() if width == job.calibration_ar_len]
    return found[-1] if found else _CALIBRATED_ONLY


def share_ranges(job: Job, module: Any, prepared: Mapping[str, GraphModule]) -> None:
    """Give every graph the ranges of the calibrated one."""
    source = calibrated_name(job)
    for name, width in method_widths(job).items():
        if name != source:
            example = module.example_inputs(width)
            quantize.copy_ranges(prepared[source], prepared[name], example)


def convert_all(job: Job, prepared: Mapping[str, GraphModule]) -> dict[str, GraphModule]:
    """Quantised graphs by method."""
    return {name: quantize.convert(prepared[name]) for name in method_widths(job)}


def id_chunks(ids: torch.Tensor, ar_len: int) -> Iterator[Inputs]:
    """Ids in calls of a width, the last one padded with 0."""
    for chunk in ids.split(ar_len):
        padded = torch.zeros(1, ar_len, dtype=torch.int32)
        padded[0, : len(chunk)] = chunk
        yield (padded,)


def htp_options(
    job: Job, *, n_layers: int = 0, constants: Mapping[str, Any] | None = None
) -> HtpOptions:
    """What the HTP compiler is told of a component; `n_layers` of a decoder."""
    recipe = job.made_by
    return HtpOptions(
        soc=job.soc,
        share_weights=not job.simulator and len(job.ar_lens) > 1,
        half_precision=recipe.quantization == "fp16",
        performance_mode=recipe.performance_mode,
        split_heads=job.part == TEXT_DECODER,
        n_layers=n_layers,
        n_shards=recipe.num_shards or 1,
        constants=constants or {},
    )
