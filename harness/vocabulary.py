"""The names that specs, manifests and reports share. Says what exists, computes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Mode = Literal["kv", "hybrid"]
Target = Literal["silicon", "simulator"]

COMPONENTS = ("vision_encoder", "tok_embedding", "text_decoder")


@dataclass(frozen=True)
class MetricKind:
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
