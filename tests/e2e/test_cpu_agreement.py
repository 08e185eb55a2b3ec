"""kv, hybrid and lookahead give the same replies, token for token, on the float CPU graphs.

Nothing is rounded there, so that there are no ties to allow for, as on the HTP.
"""

from __future__ import annotations

import sys
from itertools import product
from pathlib import Path

import pytest

from harness.bundle import Bundle
from harness.compile import compile_bundle
from harness.device import Device
from harness.report import Turn
from harness.runs import RunRequest, run_case
from harness.runtime import Runtime, find_runtime
from harness.socs import specs_dir
from harness.spec import load_spec
from harness.vocabulary import Mode

sys.path.insert(0, str(Path(__file__).parent))
from agreement import COUNTS, conversations_of
from float_cpu import float_requests, float_spec
from laboratory import MODELS, TIMEOUT_S

CONVERSATIONS = tuple(f"{turns}_turns_{images}_images" for turns, images in product(COUNTS, COUNTS))


class FloatModel:
    """A small model in float: one bundle for kv and hybrid, one for lookahead."""

    def __init__(self, name: str, device: Device, runtime: Runtime, folder: Path) -> None:
        spec = load_spec(specs_dir() / f"{name}.yaml")
        self._spec = float_spec(conversations_of(spec, folder))
        self._device, self._runtime = device, runtime
        both, wide = (
            compile_bundle(request, None, lambda stage: None)
            for request in float_requests(self._spec)
        )
        self._bundles: dict[Mode, Bundle] = {"kv": both, "hybrid": both, "lookahead": wide}

    def turns(self, conversation: str, mode: Mode) -> tuple[Turn, ...]:
        length = self._spec.cases[conversation].max_new_tokens
        request = RunRequest(self._bundles[mode], conversation, mode, length, TIMEOUT_S)
        run = run_case(self._device, self._runtime, request)
        return run.report.measured[0].turns


@pytest.fixture(scope="module", params=MODELS)
def model(
    request: pytest.FixtureRequest, phone: Device, tmp_path_factory: pytest.TempPathFactory
) -> FloatModel:
    runtime = find_runtime("x86_64", 79, simulated=True, backend="xnnpack")
    return FloatModel(request.param, phone, runtime, tmp_path_factory.mktemp("pictures"))


def tokens(turns: tuple[Turn, ...]) -> tuple[tuple[int, ...], ...]:
    return tuple(turn.generated_token_ids for turn in turns)


@pytest.mark.parametrize("conversation", CONVERSATIONS)
def test_modes_reply_alike_token_for_token(model: FloatModel, conversation: str) -> None:
    alone = tokens(model.turns(conversation, "kv"))
    assert alone == tokens(model.turns(conversation, "hybrid"))
    ahead = model.turns(conversation, "lookahead")
    assert alone == tokens(ahead)
    assert all(turn.lookahead is not None for turn in ahead)


def test_conversations_are_answered_differently(model: FloatModel) -> None:
    # Guards the test above: a model that always says the same would prove nothing.
    replies = {tokens(model.turns(conversation, "kv")) for conversation in CONVERSATIONS}
    assert len(replies) > len(CONVERSATIONS) * 3 // 4
