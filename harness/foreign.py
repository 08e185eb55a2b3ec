"""PTEs that ExecuTorch's own `llama.py` wrote: found, and held against a spec.

Such a folder has no manifest, so nothing says what its files are but they themselves: method
names, shapes and types. What these cannot say (which weights, which quantisation) stays
unknown. Needs no torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import BundleMismatch
from harness.manifest import MANIFEST_NAME
from harness.pte_contents import Contents, MethodFacts, TensorFacts
from harness.socs import Soc
from harness.spec import Spec
from harness.vocabulary import MODES, Mode

VISION, EMBEDDING, DECODER = "vision_encoder", "tok_embedding", "text_decoder"
_FILES = {VISION: "vision_encoder_qnn.pte", EMBEDDING: "tok_embedding_qnn.pte"}
_OLD_FILE = "text_embedding_qnn.pte"
_CACHE_TYPES = ("UINT16", "BYTE", "CHAR")


@dataclass(frozen=True)
class ForeignFolder:
    """The three PTEs of a folder without a manifest, and the mode its decoder is for."""

    dir: Path
    mode: Mode
    paths: Mapping[str, Path]


def find_foreign(folder: Path) -> ForeignFolder | None:
    """The PTEs by their names in ExecuTorch's contract; None if it is no such folder.

    A folder with a manifest is a bundle, whatever its files are called.

    Raises:
        BundleMismatch: the names are those of an older contract, or two decoders lie there.
    """
    if (folder / MANIFEST_NAME).exists():
        return None
    decoders = {mode: folder / f"{mode}_llama_qnn.pte" for mode in MODES}
    present = {mode: path for mode, path in decoders.items() if path.is_file()}
    if (folder / _OLD_FILE).is_file():
        raise _old_contract(folder, f"it holds {_OLD_FILE}")
    paths = {name: folder / file for name, file in _FILES.items()}
    if not present or not all(path.is_file() for path in paths.values()):
        return None
    if len(present) > 1:
        raise BundleMismatch(
            f"reading the PTEs in {folder}",
            f"it holds decoders of several modes: {', '.join(present)}",
            expected="one, beside the token embedding that was made with it",
        )
    ((mode, decoder),) = present.items()
    return ForeignFolder(folder, mode, {**paths, DECODER: decoder})


def check_foreign(
    found: ForeignFolder, contents: Mapping[str, Contents], spec: Spec, soc: Soc
) -> None:
    """Refuse PTEs that are not what the spec describes.

    Args:
        contents: of each component, by `harness.pte_contents.read_contents`.

    Raises:
        BundleMismatch: every difference in methods, shapes, types and SoC; or the whole is of
            an older contract.
    """
    for name in (EMBEDDING, DECODER):
        if contents[name].method("forward") is not None:
            raise _old_contract(found.dir, f"{found.paths[name].name} has a method 'forward'")
    problems = [
        f"{found.paths[name].name}: {problem}"
        for name in contents
        for problem in (
            *_soc_problems(contents[name], soc),
            *_method_problems(name, contents[name], found.mode),
        )
    ]
    if not problems:
        problems = list(_shape_problems(found, contents, spec))
    if problems:
        raise BundleMismatch(
            f"checking the PTEs in {found.dir}",
            "; ".join(problems),
            expected=f"what {spec.path} describes, for {soc.id}",
            hint=f"python -m harness inspect {found.dir} shows all signatures",
        )


def _old_contract(folder: Path, sign: str) -> BundleMismatch:
    return BundleMismatch(
        f"reading the PTEs in {folder}",
        f"{sign}: they follow the older contract of ExecuTorch's examples, "
        f"with methods 'forward' and a {_OLD_FILE}",
        expected="tok_embedding_qnn.pte and {mode}_llama_qnn.pte with methods kv_forward, ...",
        hint="export them again with a newer llama.py, or compile the spec",
    )


def _soc_problems(contents: Contents, soc: Soc) -> Iterator[str]:
    options = contents.qnn
    if options is None:
        yield "it has no QNN delegate"
    elif (options.soc, options.htp_arch) != (soc.id, soc.htp_arch):
        # Two SoCs of one HTP arch differ in VTCM and DRAM; a binary for the other may load.
        yield f"it was compiled for {options.soc} (HTP V{options.htp_arch})"


def _method_problems(name: str, contents: Contents, mode: Mode) -> Iterator[str]:
    stems = {VISION: ("",), EMBEDDING: ("tok_embedding_kv_", "tok_embedding_prefill_")}
    wanted = [f"{stem}forward" for stem in stems.get(name, ("kv_", "prefill_"))]
    if mode == "kv":
        wanted = wanted[:1]
    there = [method.name for method in contents.methods]
    if sorted(there) != sorted(wanted):
        yield f"its methods are {', '.join(there) or 'none'}, not {', '.join(wanted)}"


def _shape_problems(
    found: ForeignFolder, contents: Mapping[str, Contents], spec: Spec
) -> Iterator[str]:
    embedded, widths = None, _widths(found.mode, spec)
    for stem, ar_len in widths.items():
        embedding = contents[EMBEDDING].method(f"tok_embedding_{stem}_forward")
        decoder = contents[DECODER].method(f"{stem}_forward")
        assert embedding is not None
        assert decoder is not None  # the methods were checked before
        embedded = embedding.outputs[0]
        wanted = (TensorFacts((1, ar_len), "INT"),)
        if embedding.inputs != wanted:
            yield f"{embedding.name}: takes {_shown(embedding.inputs)}, not {_shown(wanted)}"
        if embedded.dtype != "FLOAT" or embedded.shape[:2] != (1, ar_len):
            yield f"{embedding.name}: gives {embedded}, not float [1, {ar_len}, channels]"
        yield from _decoder_problems(decoder, ar_len, spec.max_context_len, embedded)
    picture = contents[VISION].methods[0]
    shape = picture.inputs[0].shape
    if len(shape) != 4 or shape[:2] != (1, 3) or picture.inputs[0].dtype != "FLOAT":
        yield f"{picture.name}: takes {picture.inputs[0]}, not a float picture [1, 3, H, W]"
    if embedded is not None and picture.outputs[0].shape[-1] != embedded.shape[-1]:
        yield (
            f"{picture.name}: gives {picture.outputs[0]}, and token embeddings "
            f"have {embedded.shape[-1]} channels"
        )


def _widths(mode: Mode, spec: Spec) -> dict[str, int]:
    """Width of each graph, by the stem of its methods' names."""
    if mode == "kv":
        return {"kv": 1}
    decode = spec.lookahead.ar_len if mode == "lookahead" and spec.lookahead else 1
    return {"kv": decode, "prefill": spec.prefill_ar_len}


def _decoder_problems(
    method: MethodFacts, ar_len: int, context_length: int, embedded: TensorFacts
) -> Iterator[str]:
    """What differs from hidden, mask, positions, K per layer, V per layer -> logits, K, V."""
    if len(method.inputs) < 5 or (len(method.inputs) - 3) % 2:
        yield f"{method.name}: has {len(method.inputs)} inputs, not 3 + 2 per layer"
        return
    layers = (len(method.inputs) - 3) // 2
    if len(method.outputs) != 1 + 2 * layers:
        yield f"{method.name}: has {len(method.outputs)} outputs, not {1 + 2 * layers}"
        return
    past = context_length - ar_len
    first = method.inputs[3]
    heads, head_dim = (first.shape[1], first.shape[2]) if len(first.shape) == 4 else (0, 0)
    kind = first.dtype
    if kind not in _CACHE_TYPES:
        yield f"{method.name}: its KV cache is {kind.lower()}, not 8 or 16 bit integers"
    wanted = (
        TensorFacts((1, ar_len, embedded.shape[-1]), "FLOAT"),
        TensorFacts((1, 1, ar_len, context_length), "UINT16"),
        TensorFacts((1, ar_len), "INT"),
        *[TensorFacts((1, heads, head_dim, past), kind)] * layers,
        *[TensorFacts((1, heads, past, head_dim), kind)] * layers,
        *[TensorFacts((1, heads, head_dim, ar_len), kind)] * layers,
        *[TensorFacts((1, heads, ar_len, head_dim), kind)] * layers,
    )
    got = (*method.inputs, *method.outputs[1:])
    for index, (has, should) in enumerate(zip(got, wanted, strict=True)):
        if has != should:
            yield f"{method.name}: tensor {index} is {has}, not {should}"
            return
    logits = method.outputs[0]
    if logits.dtype != "UINT16" or logits.shape[:2] != (1, ar_len):
        yield f"{method.name}: its logits are {logits}, not uint16 [1, {ar_len}, vocabulary]"


def _shown(tensors: Sequence[TensorFacts]) -> str:
    return ", ".join(map(str, tensors))
