from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.bundle import check_bundle, find_bundle, load_bundle
from harness.errors import (
    BundleCorrupt,
    BundleError,
    BundleMismatch,
    BundleMissing,
    BundleStale,
)
from harness.socs import find_soc
from harness.spec import Spec, load_spec

MakeBundle = Callable[..., Path]
EditManifest = Callable[[Path, Callable[[dict[str, Any]], object]], None]

LONG_AGO_NS = 1_600_000_000_000_000_000


@pytest.fixture
def folder(make_bundle: MakeBundle, tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_load_bundle_valid_folder_gives_its_manifest(folder: Path) -> None:
    bundle = load_bundle(folder)
    assert bundle.manifest.model == "tiny"
    assert bundle.manifest.cases["blue"].images[0].shape == (1, 3, 2, 2)
    assert bundle.component_path("text_decoder") == folder / "hybrid_llama_qnn.pte"
    assert bundle.pte_size_bytes() == {
        "vision_encoder": 100,
        "tok_embedding": 100,
        "text_decoder": 100,
    }


def test_load_bundle_no_folder_names_the_path(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing, match="no such folder"):
        load_bundle(tmp_path / "absent")


def test_load_bundle_ptes_without_manifest_are_named(tmp_path: Path) -> None:
    (tmp_path / "kv_llama_qnn.pte").write_bytes(b"")
    with pytest.raises(BundleMissing, match=r"PTEs without a manifest.json \(kv_llama_qnn"):
        load_bundle(tmp_path)


def test_load_bundle_truncated_pte_is_named_with_both_sizes(folder: Path) -> None:
    (folder / "hybrid_llama_qnn.pte").write_bytes(b"\2" * 60)
    with pytest.raises(BundleCorrupt) as caught:
        load_bundle(folder)
    assert caught.value.problem == "hybrid_llama_qnn.pte is truncated: 60 bytes"
    assert caught.value.expected == "100 bytes, as the manifest says"


def test_load_bundle_changed_byte_is_found(folder: Path) -> None:
    (folder / "hybrid_llama_qnn.pte").write_bytes(b"\2" * 99 + b"\3")
    with pytest.raises(BundleCorrupt, match=r"hybrid_llama_qnn\.pte has sha256"):
        load_bundle(folder)


def test_load_bundle_missing_file_is_named(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BundleCorrupt, match=r"tokenizer\.json is missing"):
        load_bundle(folder)


def test_load_bundle_second_models_pte_in_the_folder_is_refused(folder: Path) -> None:
    (folder / "kv_llama_qnn.pte").write_bytes(b"another model")
    with pytest.raises(BundleMismatch) as caught:
        load_bundle(folder)
    assert "kv_llama_qnn.pte" in caught.value.problem
    assert caught.value.expected == "one model in one folder"


def test_load_bundle_link_to_outside_is_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.json"
    outside.write_text("{}")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.json").symlink_to(outside)
    with pytest.raises(BundleCorrupt, match=r"tokenizer\.json is a link to"):
        load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000])
def test_load_bundle_garbled_manifest_is_corrupt(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleCorrupt, match="not a JSON object"):
        load_bundle(folder)


def _rename_file(document: dict[str, Any], new: str) -> None:
    document["files"][new] = document["files"].pop("tokenizer.json")


TAMPERINGS: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "schema_of_the_future": (lambda m: m.update(schema_version=3), "schema_version is 3"),
    "key_missing": (lambda m: m.pop("soc"), "soc: Field required"),
    "key_unknown": (lambda m: m.update(colour="red"), "colour: Unexpected keyword"),
    "text_for_number": (lambda m: m.update(htp_arch="79"), "htp_arch: Input should be a valid int"),
    "mode_unknown": (lambda m: m.update(mode="turbo"), "mode: Input should be 'kv', 'hybrid'"),
    "mode_not_served": (lambda m: m.update(serves_modes=["kv"]), "serves_modes: 'hybrid'"),
    "component_missing": (
        lambda m: m["components"].pop("tok_embedding"),
        "components: tok_embedding missing",
    ),
    "component_file_unlisted": (
        lambda m: m["components"]["tok_embedding"].update(file="other.pte"),
        "components.tok_embedding: 'other.pte' is not listed",
    ),
    "case_file_unlisted": (
        lambda m: m["cases"]["blue"]["turns"][0]["images"][0].update(path="cases/blue/1.bin"),
        "cases.blue: 'cases/blue/1.bin' is not listed",
    ),
    "case_reference_unlisted": (
        lambda m: m["cases"]["blue"].update(reference_path="cases/blue/reference.json"),
        "cases.blue: 'cases/blue/reference.json' is not listed",
    ),
    "case_without_turns": (
        lambda m: m["cases"]["blue"].update(turns=[]),
        "cases.blue.turns is empty",
    ),
    "tokenizer_unlisted": (lambda m: m["files"].pop("tokenizer.json"), "'tokenizer.json' is not"),
    "path_absolute": (lambda m: _rename_file(m, "/etc/passwd"), "'/etc/passwd' is not a path"),
    "path_upwards": (lambda m: _rename_file(m, "../a.json"), "'../a.json' is not a path inside"),
    "path_through_upwards": (lambda m: _rename_file(m, "a/../../b"), "is not a path inside"),
    "path_empty": (lambda m: _rename_file(m, ""), "'' is not a path inside"),
    "sha256_short": (
        lambda m: m["files"]["tokenizer.json"].update(sha256="abc"),
        "files.tokenizer.json.sha256: 'abc'",
    ),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_load_bundle_tampered_manifest_is_corrupt(
    folder: Path, edit_manifest: EditManifest, name: str
) -> None:
    change, message = TAMPERINGS[name]
    edit_manifest(folder, change)
    with pytest.raises(BundleCorrupt) as caught:
        load_bundle(folder)
    assert message in caught.value.problem


def _make_settled(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the files count as old, as if the bundle had been made long ago."""
    monkeypatch.setattr("harness.bundle_files._SETTLED_NS", -(10**18))


def test_load_bundle_second_time_remembers_the_hashes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_settled(folder, monkeypatch)
    assert load_bundle(folder).verification.hashed_files == 5
    again = load_bundle(folder).verification
    assert (again.hashed_files, again.remembered_files) == (0, 5)
    assert "5 unchanged since they were hashed" in str(again)


def test_load_bundle_full_verification_remembers_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_settled(folder, monkeypatch)
    load_bundle(folder)
    assert load_bundle(folder, verify="full").verification.hashed_files == 5


def test_load_bundle_files_of_this_moment_are_hashed_again(folder: Path) -> None:
    load_bundle(folder)
    assert load_bundle(folder).verification.hashed_files == 5


def test_load_bundle_change_with_the_old_time_stamp_is_found(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folder / "hybrid_llama_qnn.pte"
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    _make_settled(folder, monkeypatch)
    load_bundle(folder)
    path.write_bytes(b"\2" * 99 + b"\3")
    os.utime(path, ns=(LONG_AGO_NS, LONG_AGO_NS))
    with pytest.raises(BundleCorrupt, match="has sha256"):
        load_bundle(folder)


def test_load_bundle_unwritable_cache_still_verifies(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("VLM_HARNESS_CACHE", str(tmp_path / "file" / "cache"))
    assert load_bundle(folder).verification.hashed_files == 5


def test_find_bundle_root_is_one_bundle_gives_it(folder: Path) -> None:
    assert find_bundle(folder, "tiny", "SM8750", "kv").dir == folder


def test_find_bundle_folder_of_bundles_takes_the_models_own(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    root = tmp_path / "bundles"
    expected = make_bundle(root / "tiny/SM8750/hybrid")
    make_bundle(root / "other/SM8750/hybrid", model="other")
    assert find_bundle(root, "tiny", "SM8750", "hybrid").dir == expected


def test_find_bundle_hybrid_serves_kv_where_there_is_no_kv(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    hybrid = make_bundle(tmp_path / "bundles/tiny/SM8750/hybrid")
    assert find_bundle(tmp_path / "bundles", "tiny", "SM8750", "kv").dir == hybrid


def test_find_bundle_missing_names_every_path_looked_for(tmp_path: Path) -> None:
    with pytest.raises(BundleMissing) as caught:
        find_bundle(tmp_path, "tiny", "SM8750", "kv")
    expected = str(caught.value.expected)
    assert str(tmp_path / "tiny/SM8750/kv/manifest.json") in expected
    assert str(tmp_path / "tiny/SM8750/hybrid/manifest.json") in expected


def test_check_bundle_right_bundle_passes_in_both_modes(folder: Path, spec: Spec) -> None:
    bundle = load_bundle(folder)
    for mode in ("kv", "hybrid"):
        check_bundle(bundle, spec, find_soc("SM8750"), mode, "simulator")


MISMATCHES = {
    "model": ({"model": "other"}, "model other, not tiny"),
    "soc": ({"soc": "SM8650"}, "SoC SM8650, not SM8750"),
    "htp_arch": ({"htp_arch": 75}, "HTP arch V75, not V79"),
    "target": ({"target": "silicon"}, "target silicon, not simulator"),
    "backend": ({"backend": "xnnpack"}, "backend xnnpack, not qnn"),
}


@pytest.mark.parametrize("what", MISMATCHES)
def test_check_bundle_made_for_something_else_is_refused(
    make_bundle: MakeBundle, tmp_path: Path, spec: Spec, what: str
) -> None:
    changes, message = MISMATCHES[what]
    bundle = load_bundle(make_bundle(tmp_path / "bundle", **changes))
    with pytest.raises(BundleMismatch) as caught:
        check_bundle(bundle, spec, find_soc("SM8750"), "hybrid", "simulator")
    assert message in caught.value.problem
    assert isinstance(caught.value, BundleError)


def test_check_bundle_for_the_cpu_serves_every_soc_and_target(
    make_bundle: MakeBundle, tmp_path: Path, spec: Spec
) -> None:
    made = load_bundle(make_bundle(tmp_path / "qnn")).manifest
    recipes = spec.recipe_xnnpack.as_dict()
    components = {
        name: replace(part, backend="xnnpack", recipe=recipes[name])
        for name, part in made.components.items()
    }
    folder = make_bundle(
        tmp_path / "cpu", backend="xnnpack", soc="any", htp_arch=0, components=components
    )
    bundle = load_bundle(folder)
    for soc, target in (("SM8750", "simulator"), ("SM8550", "silicon")):
        check_bundle(bundle, spec, find_soc(soc), "hybrid", target, "xnnpack")
    with pytest.raises(BundleMismatch) as caught:
        check_bundle(bundle, spec, find_soc("SM8750"), "hybrid", "simulator", "qnn")
    assert caught.value.hint == "--backend xnnpack"


def test_check_bundle_mode_it_does_not_serve_is_refused(
    make_bundle: MakeBundle, tmp_path: Path, spec: Spec
) -> None:
    bundle = load_bundle(make_bundle(tmp_path / "bundle", mode="kv", serves_modes=("kv",)))
    with pytest.raises(BundleMismatch, match="it serves mode kv, not hybrid"):
        check_bundle(bundle, spec, find_soc("SM8750"), "hybrid", "simulator")


STALE = {
    "prompt": (("What colour", "Which colour"), "the prompts or pictures of case 'blue'"),
    "case": (("  blue:", "  azure:"), "it holds no inputs for case 'azure'"),
    "context": (("max_seq_len: 128\nprefill", "max_seq_len: 256\nprefill"), "max_seq_len is 128"),
    "prefill": (("prefill_ar_len: 32", "prefill_ar_len: 64"), "prefill_ar_len is 32"),
}


@pytest.mark.parametrize("what", STALE)
def test_check_bundle_spec_changed_since_is_stale(
    folder: Path, write_spec: Callable[..., Path], what: str
) -> None:
    replacement, message = STALE[what]
    changed = load_spec(write_spec(replacement))
    with pytest.raises(BundleStale) as caught:
        check_bundle(load_bundle(folder), changed, find_soc("SM8750"), "hybrid", "simulator")
    assert message in caught.value.problem


def test_check_bundle_of_another_recipe_is_stale(folder: Path, spec: Spec) -> None:
    recipes = {**spec.recipe.components}
    recipes["text_decoder"] = replace(recipes["text_decoder"], quantization="16a4w")
    changed = replace(spec, recipe=replace(spec.recipe, components=recipes))
    told = "text_decoder's quantization is '16a8w' in it and '16a4w' in the spec"
    with pytest.raises(BundleStale, match=told):
        check_bundle(load_bundle(folder), changed, find_soc("SM8750"), "hybrid", "simulator")


def test_write_manifest_of_a_contradiction_is_refused(
    make_bundle: MakeBundle, tmp_path: Path, folder: Path
) -> None:
    manifest = load_bundle(folder).manifest
    files = {**manifest.files, "../outside": manifest.files["tokenizer.json"]}
    with pytest.raises(BundleCorrupt, match="is not a path inside"):
        make_bundle(tmp_path / "other", files=files)
