"""PTEs without a manifest, held against a spec."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness.errors import BundleMismatch
from harness.foreign import DECODER, EMBEDDING, VISION, ForeignFolder, check_foreign, find_foreign
from harness.pte_contents import Contents, MethodFacts, QnnFacts, TensorFacts
from harness.socs import find_soc
from harness.spec import Spec

CL, AR, DIM, LAYERS = 128, 32, 64, 2
NAMES = ("vision_encoder_qnn.pte", "tok_embedding_qnn.pte", "hybrid_llama_qnn.pte")
QNN = QnnFacts("SM8750", 79, share_weights=False, shared_buffer=True)

Files = dict[str, Contents]


def tensor(dtype: str, *shape: int) -> TensorFacts:
    return TensorFacts(shape, dtype)


def method(name: str, inputs: list[TensorFacts], outputs: list[TensorFacts]) -> MethodFacts:
    return MethodFacts(name, tuple(inputs), tuple(outputs), 1, ())


def decoder(name: str, ar_len: int, cache: str = "UINT16", length: int = CL) -> MethodFacts:
    past = length - ar_len
    return method(
        name,
        [
            tensor("FLOAT", 1, ar_len, DIM),
            tensor("UINT16", 1, 1, ar_len, length),
            tensor("INT", 1, ar_len),
            *[tensor(cache, 1, 2, 16, past)] * LAYERS,
            *[tensor(cache, 1, 2, past, 16)] * LAYERS,
        ],
        [
            tensor("UINT16", 1, ar_len, 300),
            *[tensor(cache, 1, 2, 16, ar_len)] * LAYERS,
            *[tensor(cache, 1, 2, ar_len, 16)] * LAYERS,
        ],
    )


def embedding(name: str, ar_len: int) -> MethodFacts:
    return method(name, [tensor("INT", 1, ar_len)], [tensor("FLOAT", 1, ar_len, DIM)])


@pytest.fixture
def folder(tmp_path: Path) -> ForeignFolder:
    for name in NAMES:
        (tmp_path / name).write_bytes(b"")
    found = find_foreign(tmp_path)
    assert found is not None
    return found


@pytest.fixture
def files() -> Files:
    """What ExecuTorch's `llama.py` writes for the spec of these tests, hybrid."""
    picture = method("forward", [tensor("FLOAT", 1, 3, 32, 32)], [tensor("FLOAT", 1, 16, DIM)])
    embeddings = (
        embedding("tok_embedding_kv_forward", 1),
        embedding("tok_embedding_prefill_forward", AR),
    )
    decoders = (decoder("kv_forward", 1), decoder("prefill_forward", AR))
    return {
        VISION: Contents((picture,), {}, QNN),
        EMBEDDING: Contents(embeddings, {}, QNN),
        DECODER: Contents(decoders, {}, QNN),
    }


def with_decoders(files: Files, *decoders: MethodFacts) -> Files:
    return {**files, DECODER: replace(files[DECODER], methods=decoders)}


def test_find_foreign_knows_the_mode_from_the_decoders_name(folder: ForeignFolder) -> None:
    assert folder.mode == "hybrid"
    assert {name: path.name for name, path in folder.paths.items()}[DECODER] == NAMES[2]


def test_find_foreign_a_bundle_is_none(make_bundle: Callable[..., Path], tmp_path: Path) -> None:
    assert find_foreign(make_bundle(tmp_path / "bundle")) is None


def test_find_foreign_names_the_older_contract(tmp_path: Path) -> None:
    (tmp_path / "text_embedding_qnn.pte").write_bytes(b"")
    with pytest.raises(BundleMismatch, match=r"older contract .* text_embedding_qnn\.pte"):
        find_foreign(tmp_path)


def test_find_foreign_two_decoders_are_refused(folder: ForeignFolder) -> None:
    (folder.dir / "kv_llama_qnn.pte").write_bytes(b"")
    with pytest.raises(BundleMismatch, match="several modes: kv, hybrid"):
        find_foreign(folder.dir)


@pytest.mark.parametrize("cache", ["UINT16", "BYTE"])
def test_check_foreign_takes_what_the_spec_describes(
    folder: ForeignFolder, files: Files, spec: Spec, cache: str
) -> None:
    decoders = (decoder("kv_forward", 1, cache), decoder("prefill_forward", AR, cache))
    check_foreign(folder, with_decoders(files, *decoders), spec, find_soc("SM8750"))


def test_check_foreign_method_forward_is_the_older_contract(
    folder: ForeignFolder, files: Files, spec: Spec
) -> None:
    old = with_decoders(files, decoder("forward", 1))
    with pytest.raises(BundleMismatch, match=r"method 'forward'.*older contract"):
        check_foreign(folder, old, spec, find_soc("SM8750"))


def test_check_foreign_other_soc_is_named_for_each_file(
    folder: ForeignFolder, files: Files, spec: Spec
) -> None:
    with pytest.raises(BundleMismatch) as caught:
        check_foreign(folder, files, spec, find_soc("SM8650"))
    assert str(caught.value).count("compiled for SM8750 (HTP V79)") == 3


@pytest.mark.parametrize(
    ("decoders", "problem"),
    [
        pytest.param(
            [decoder("kv_forward", 1)], "methods are kv_forward, not", id="a_method_is_missing"
        ),
        pytest.param(
            [decoder("kv_forward", 1), decoder("prefill_forward", 16)],
            r"prefill_forward: tensor 0 is float \[1, 16, 64\], not float \[1, 32, 64\]",
            id="another_prefill_width",
        ),
        pytest.param(
            [decoder("kv_forward", 1, length=64), decoder("prefill_forward", AR, length=64)],
            r"kv_forward: tensor 1 is uint16 \[1, 1, 1, 64\], not uint16 \[1, 1, 1, 128\]",
            id="another_context_length",
        ),
        pytest.param(
            [decoder("kv_forward", 1, "FLOAT"), decoder("prefill_forward", AR, "FLOAT")],
            "KV cache is float",
            id="float_cache",
        ),
    ],
)
def test_check_foreign_tells_what_differs(
    folder: ForeignFolder,
    files: Files,
    spec: Spec,
    decoders: list[MethodFacts],
    problem: str,
) -> None:
    with pytest.raises(BundleMismatch, match=problem):
        check_foreign(folder, with_decoders(files, *decoders), spec, find_soc("SM8750"))


def test_check_foreign_encoder_of_another_model_is_told(
    folder: ForeignFolder, files: Files, spec: Spec
) -> None:
    picture = method("forward", [tensor("FLOAT", 1, 3, 32, 32)], [tensor("FLOAT", 1, 16, 96)])
    other = {**files, VISION: Contents((picture,), {}, QNN)}
    with pytest.raises(BundleMismatch, match="token embeddings have 64 channels"):
        check_foreign(folder, other, spec, find_soc("SM8750"))


def test_check_foreign_token_embedding_of_integers_is_told(
    folder: ForeignFolder, files: Files, spec: Spec
) -> None:
    kv, prefill = files[EMBEDDING].methods
    integers = replace(prefill, outputs=(tensor("UINT16", 1, AR, DIM),))
    other = {**files, EMBEDDING: Contents((kv, integers), {}, QNN)}
    with pytest.raises(BundleMismatch, match=f"gives uint16 .* not float .1, {AR}, channels"):
        check_foreign(folder, other, spec, find_soc("SM8750"))
