"""Which bundles a session compiles."""

from __future__ import annotations

import pytest

from harness.front.bundles import mode_to_compile
from harness.vocabulary import MODES, Mode


@pytest.mark.parametrize(
    ("tested", "compiled"),
    [
        (["kv"], {"kv": "kv"}),
        (["hybrid"], {"hybrid": "hybrid"}),
        (["kv", "hybrid"], {"kv": "hybrid", "hybrid": "hybrid"}),
        (["kv", "lookahead"], {"kv": "kv", "lookahead": "lookahead"}),
        (list(MODES), {"kv": "hybrid", "hybrid": "hybrid", "lookahead": "lookahead"}),
    ],
)
def test_one_bundle_serves_kv_and_hybrid_and_none_lookahead_too(
    tested: list[Mode], compiled: dict[Mode, Mode]
) -> None:
    assert {mode: mode_to_compile(mode, tested) for mode in tested} == compiled
