"""Several turns, several pictures and tiles, from the spec to the runner's replies."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from harness.bundle import Bundle
from harness.cache import file_sha256
from harness.compile import BundleRequest, compile_bundle
from harness.device import Device
from harness.references import read_reference
from harness.runs import CaseRun, RunRequest, run_case
from harness.runtime import Runtime
from harness.socs import find_soc, specs_dir
from harness.spec import Case, ImageSource, Spec, Turn, load_spec

MODELS = ("smolvlm_tiny", "internvl3_tiny")
# Two float logits nearer than this may change places when the weights are quantised.
NEARLY_EQUAL = 1.0
MAX_NEW_TOKENS = 8


def conversation(spec: Spec) -> Case:
    """Two pictures at first, then two turns about them."""
    one, two = (spec.cases[name] for name in ("red_circle", "star_left"))
    first = Turn((*one.images, *two.images), one.prompt)
    return replace(
        two,
        name="conversation",
        images=(),
        earlier_turns=(first, Turn((), "How many stars are there?")),
        max_new_tokens=MAX_NEW_TOKENS,
    )


def wide_picture(spec: Spec, folder: Path) -> Case:
    """A picture twice as wide as high."""
    case = spec.cases["red_circle"]
    with Image.open(case.images[0].locate()) as picture:
        wide = Image.new("RGB", (128, 64), "white")
        wide.paste(picture.convert("RGB"), (64, 0))
    path = folder / "wide.png"
    wide.save(path)
    image = ImageSource(sha256=file_sha256(path), path=path)
    return replace(case, name="wide", images=(image,), splitting=True)


def compiled(spec: Spec, case: Case) -> Bundle:
    """A bundle with this case alone, for the CPU: turns and tiles are the same on the HTP."""
    alone = replace(spec, cases={case.name: case})
    request = BundleRequest(alone, find_soc("SM8750"), "hybrid", "simulator", "xnnpack")
    return compile_bundle(request, None, lambda stage: None)


def run(device: Device, runtime: Runtime, bundle: Bundle, case: Case) -> CaseRun:
    request = RunRequest(bundle, case.name, "hybrid", case.max_new_tokens, 300.0)
    return run_case(device, runtime, request)


@pytest.mark.parametrize("model", MODELS)
def test_conversation_of_three_turns_is_the_float_models(
    model: str, phone: Device, runtime: Runtime
) -> None:
    spec = load_spec(specs_dir() / f"{model}.yaml")
    case = conversation(spec)
    bundle = compiled(spec, case)
    inputs = bundle.manifest.cases[case.name]
    assert [len(turn.images) for turn in inputs.turns] == [2, 0, 0]
    turns = run(phone, runtime, bundle, case).report.measured[0].turns
    assert len(turns) == len(inputs.turns)
    assert inputs.reference_path is not None
    reference = read_reference(bundle.path_of(inputs.reference_path))
    assert turns[0].generated_token_ids[0] == reference.turns[0].token_ids[0]
    for turn, expected in zip(turns, reference.turns, strict=True):
        pairs = list(zip(turn.generated_token_ids, expected.token_ids, strict=False))
        parted = next((i for i, (got, wanted) in enumerate(pairs) if got != wanted), None)
        if parted is not None:
            best, second = expected.best[parted]
            assert best.logit - second.logit < NEARLY_EQUAL
            break


@pytest.mark.parametrize(("model", "tiles"), [("smolvlm_tiny", 1), ("internvl3_tiny", 3)])
def test_split_picture_reaches_the_runner_tile_by_tile(
    model: str, tiles: int, phone: Device, runtime: Runtime, tmp_path: Path
) -> None:
    spec = load_spec(specs_dir() / f"{model}.yaml")
    case = wide_picture(spec, tmp_path)
    bundle = compiled(spec, case)
    assert len(bundle.manifest.cases[case.name].images) == tiles
    (turn,) = run(phone, runtime, bundle, case).report.measured[0].turns
    assert turn.image_tokens == 16 * tiles
    assert len(turn.timestamps_ns.images) == tiles
