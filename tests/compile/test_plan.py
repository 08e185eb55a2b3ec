"""What a bundle's jobs depend on, and what they do not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.compile.job import PREPARE, Job, read_job, write_job
from harness.compile.plan import BundleRequest, checkpoint_hash, find_checkpoint, plan_jobs
from harness.errors import CompileError, InputError, SpecError
from harness.socs import find_soc
from harness.spec import CheckpointRef, override_recipe
from harness.vocabulary import COMPONENTS, MODES, Lookahead

STACK: dict[str, str | None] = {"torch": "2.13.0"}


def keys(request: BundleRequest, folder: Path) -> dict[str, str]:
    return {part: job.key(STACK) for part, job in plan_jobs(request, folder).items()}


def with_other_case(request: BundleRequest) -> BundleRequest:
    name, case = next(iter(request.spec.cases.items()))
    cases = {**request.spec.cases, name: replace(case, prompt=case.prompt + "?")}
    return replace(request, spec=replace(request.spec, cases=cases))


def with_other_calibration(request: BundleRequest) -> BundleRequest:
    spec = replace(request.spec, calibration=request.spec.calibration[1:])
    return replace(request, spec=spec)


def with_recipe(*settings: str) -> Callable[[BundleRequest], BundleRequest]:
    return lambda request: replace(request, spec=override_recipe(request.spec, settings))


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        pytest.param(with_recipe("vision_encoder=fp16"), {"vision_encoder"}, id="encoder-recipe"),
        pytest.param(with_recipe("tok_embedding=8a8w"), {"tok_embedding"}, id="table-recipe"),
        pytest.param(
            with_recipe("text_decoder.kv_cache_bits=8"), {"text_decoder"}, id="decoder-cache"
        ),
        pytest.param(
            with_recipe("performance_mode=balanced"), set(COMPONENTS), id="performance-mode"
        ),
        pytest.param(lambda r: r, set(), id="nothing"),
        pytest.param(with_other_case, {PREPARE}, id="a-case"),
        pytest.param(with_other_calibration, set(COMPONENTS), id="calibration"),
        pytest.param(lambda r: replace(r, soc=find_soc("SM8650")), set(COMPONENTS), id="soc"),
        pytest.param(lambda r: replace(r, mode="kv"), {"tok_embedding", "text_decoder"}, id="mode"),
        pytest.param(lambda r: replace(r, target="silicon"), set(COMPONENTS), id="target"),
    ],
)
def test_keys_change_with_what_influences_a_part_only(
    request_hybrid: BundleRequest,
    checkpoint_dir: Path,
    change: Callable[[BundleRequest], BundleRequest],
    changed: set[str],
) -> None:
    before = keys(request_hybrid, checkpoint_dir)
    after = keys(change(request_hybrid), checkpoint_dir)
    assert {part for part in before if before[part] != after[part]} == changed


def test_keys_for_the_cpu_are_those_of_every_soc_and_target(
    request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    cpu = replace(request_hybrid, backend="xnnpack")
    same = [
        keys(request, checkpoint_dir)
        for request in (
            cpu,
            replace(cpu, soc=find_soc("SM8550")),
            replace(cpu, soc=None),
            replace(cpu, target="silicon"),
        )
    ]
    assert all(other == same[0] for other in same)
    on_htp = keys(request_hybrid, checkpoint_dir)
    assert {part for part in on_htp if on_htp[part] == same[0][part]} == {"case_inputs"}


def test_keys_do_not_depend_on_where_the_checkpoint_lies(
    request_hybrid: BundleRequest, checkpoint_dir: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(checkpoint_dir, tmp_path / "elsewhere")
    assert keys(request_hybrid, checkpoint_dir) == keys(request_hybrid, copy)


def test_keys_change_with_one_byte_of_the_weights(
    request_hybrid: BundleRequest, checkpoint_dir: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(checkpoint_dir, tmp_path / "copy")
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    before, after = keys(request_hybrid, checkpoint_dir), keys(request_hybrid, copy)
    assert all(before[part] != after[part] for part in before)


def test_keys_change_with_the_stack(request_hybrid: BundleRequest, checkpoint_dir: Path) -> None:
    job = plan_jobs(request_hybrid, checkpoint_dir)["text_decoder"]
    assert job.key({"torch": "2.13.0"}) != job.key({"torch": "2.13.1"})


def test_job_survives_its_file(
    request_hybrid: BundleRequest, checkpoint_dir: Path, tmp_path: Path
) -> None:
    job: Job = plan_jobs(request_hybrid, checkpoint_dir)["text_decoder"]
    assert read_job(write_job(tmp_path, job)) == job
    assert job.ar_lens == (1, request_hybrid.spec.prefill_ar_len)


def test_checkpoint_without_weights_is_refused(checkpoint_dir: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(checkpoint_dir, tmp_path / "copy")
    (copy / "model.safetensors").unlink()
    with pytest.raises(CompileError, match=r"no \*\.safetensors"):
        checkpoint_hash(copy)


def test_checkpoint_folder_without_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CompileError, match=r"no config\.json"):
        find_checkpoint(CheckpointRef(path=tmp_path, hub=None, revision=None))


def test_hub_checkpoint_that_cannot_be_had_names_both_ways_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ref = CheckpointRef(path=None, hub="nobody/no-such-model", revision="main")
    with pytest.raises(CompileError) as caught:
        find_checkpoint(ref)
    assert "hf download nobody/no-such-model --revision main" in str(caught.value)
    assert "checkpoint: {path: ...}" in str(caught.value)


def test_missing_picture_is_an_input_error(
    request_hybrid: BundleRequest, checkpoint_dir: Path, tmp_path: Path
) -> None:
    name, case = next(iter(request_hybrid.spec.cases.items()))
    gone = replace(case.images[0], path=tmp_path / "gone.png")
    cases = {**request_hybrid.spec.cases, name: replace(case, images=(gone,))}
    request = replace(request_hybrid, spec=replace(request_hybrid.spec, cases=cases))
    with pytest.raises(InputError, match=r"gone\.png"):
        plan_jobs(request, checkpoint_dir)


def test_checkpoint_hash_of_a_configuration_needs_no_weights(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert len(checkpoint_hash(tmp_path, weights=False)) == 64
    with pytest.raises(CompileError, match="safetensors"):
        checkpoint_hash(tmp_path)


def test_random_weights_of_another_seed_are_another_job(
    request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    def with_seed(seed: int) -> BundleRequest:
        checkpoint = replace(request_hybrid.spec.checkpoint, seed=seed)
        return replace(request_hybrid, spec=replace(request_hybrid.spec, checkpoint=checkpoint))

    first, second = (keys(with_seed(seed), checkpoint_dir) for seed in (0, 1))
    assert not set(first.values()) & set(second.values())


def test_widths_of_each_mode(request_hybrid: BundleRequest, checkpoint_dir: Path) -> None:
    spec = replace(request_hybrid.spec, lookahead=Lookahead(window=4, ngram=3, gcap=5))
    jobs = {
        mode: plan_jobs(replace(request_hybrid, spec=spec, mode=mode), checkpoint_dir)
        for mode in MODES
    }
    widths = {mode: of_mode["text_decoder"].ar_lens for mode, of_mode in jobs.items()}
    assert widths == {"kv": (1,), "hybrid": (1, 32), "lookahead": (32, 32)}
    assert {of_mode["vision_encoder"].key(STACK) for of_mode in jobs.values()} == {
        jobs["kv"]["vision_encoder"].key(STACK)
    }


def test_longer_context_reaches_the_graphs(
    request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    spec = replace(request_hybrid.spec, max_context_len=160)
    job = plan_jobs(replace(request_hybrid, spec=spec), checkpoint_dir)["text_decoder"]
    assert (job.context_length, job.max_seq_len) == (160, 128)


def test_recipe_that_the_soc_cannot_run_is_a_spec_error(
    request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    with pytest.raises(SpecError, match="SM8350 has HTP V68"):
        plan_jobs(replace(request_hybrid, soc=find_soc("SM8350")), checkpoint_dir)


def test_only_the_decoder_knows_positions(
    request_hybrid: BundleRequest, checkpoint_dir: Path
) -> None:
    shorter = replace(request_hybrid.spec, max_seq_len=96)
    one = keys(request_hybrid, checkpoint_dir)
    other = keys(replace(request_hybrid, spec=shorter), checkpoint_dir)
    changed = {part for part in one if one[part] != other[part]}
    assert changed == {"text_decoder", PREPARE}
