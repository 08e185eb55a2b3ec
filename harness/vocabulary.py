"""The names that specs, manifests and reports share. Says what exists, computes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple, get_args

Mode = Literal["kv", "hybrid", "lookahead"]
FamilyName = Literal["internvl3", "smolvlm"]  # as models/registry.py has them
Target = Literal["silicon", "simulator"]
Backend = Literal["qnn", "xnnpack"]
CpuQuantization = Literal["fp32", "8da8w", "8da4w"]
Quantization = Literal["fp16", "8a8w", "16a8w", "16a4w", "16a4w_block"]
Observer = Literal["minmax", "moving_average", "histogram"]
Encodings = Literal["shared", "separate"]
PerformanceMode = Literal[
    "default",
    "sustained_high_performance",
    "burst",
    "high_performance",
    "power_saver",
    "low_power_saver",
    "high_power_saver",
    "low_balanced",
    "balanced",
]

MODES: tuple[Mode, ...] = get_args(Mode)
BACKENDS: tuple[Backend, ...] = get_args(Backend)

COMPONENTS = ("vision_encoder", "tok_embedding", "text_decoder")


@dataclass(frozen=True)
class Lookahead:
    """Parameters of lookahead decoding: tokens guessed ahead, n-gram length, guesses verified."""

    window: int
    ngram: int
    gcap: int

    @property
    def ar_len(self) -> int:
        """Width of the decode graph, as ExecuTorch's: next_pow2((window + gcap)(ngram - 1))."""
        needed = (self.window + self.gcap) * (self.ngram - 1)
        return 1 << (needed - 1).bit_length()


class MetricKind(NamedTuple):
    """A number that a run gives. `better` says in which direction it improves."""

    name: str
    unit: str
    better: Literal["higher", "lower"]


METRIC_KINDS = {
    kind.name: kind
    for kind in (
        MetricKind("decode_tokens_per_s", "tok/s", "higher"),
        MetricKind("prefill_tokens_per_s", "tok/s", "higher"),
        MetricKind("e2e_tokens_per_s", "tok/s", "higher"),
        MetricKind("ttft_ms", "ms", "lower"),
        MetricKind("encoder_ms", "ms", "lower"),
        MetricKind("model_load_ms", "ms", "lower"),
        MetricKind("itl_p50_ms", "ms", "lower"),
        MetricKind("itl_p95_ms", "ms", "lower"),
        MetricKind("peak_rss_mib", "MiB", "lower"),
    )
}
