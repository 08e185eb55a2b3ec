"""Made-up specs, bundles and a stub Runtime: all a session needs but a compiled model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from harness.manifest import (
    CaseInputs,
    Checkpoint,
    Component,
    ImageInput,
    Manifest,
    MethodFacts,
    TurnInputs,
    describe_files,
    write_manifest,
)
from harness.socs import find_soc
from harness.spec import Spec, load_spec
from harness.virtual_phone.stub_runtime import make_stub_runtime

VOCABULARY = ["<unk>", "<image>", "<stop>", "the", "shape", "is", "red", "blue", "green"]
IMAGE_ID, STOP_ID = 1, 2
PTES = {
    "vision_encoder": "vision_encoder_qnn.pte",
    "tok_embedding": "tok_embedding_qnn.pte",
    "text_decoder": "{mode}_llama_qnn.pte",
}
PTE_BYTES = 4000


def case(prompt: str = "Which colour?", **expect: list[str]) -> dict[str, Any]:
    """A case of a spec; case(all_of=["red"]) expects that word."""
    wanted = expect or {"all_of": ["red"], "none_of": ["blue"]}
    return {"image": "picture.png", "prompt": prompt, "max_new_tokens": 8, "expect": wanted}


def reply(text: str, **facts: object) -> dict[str, Any]:
    """The stub runner's reply: words of VOCABULARY, then the stop token."""
    ids = [VOCABULARY.index(word) for word in text.split()]
    return {"reply_token_ids": [*ids, STOP_ID], "decode_tokens_per_s": 60.0, **facts}


RED = reply("the shape is red")
SILICON_FLOOR: dict[str, Any] = {
    "metric": "decode_tokens_per_s",
    "mode": "hybrid",
    "max_seq_len": 128,
    "sm8750_token_rate": 55,
}


class Workplace:
    """A folder with specs, bundles and a stub Runtime."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.specs_dir = folder / "specs"
        self.bundles_dir = folder / "bundles"
        self.runtime_dir = folder / "runtime"
        (self.specs_dir / "checkpoint").mkdir(parents=True)
        (self.specs_dir / "picture.png").write_bytes(b"a picture")
        (self.specs_dir / "calibration.png").write_bytes(b"another picture")

    @property
    def args(self) -> list[str]:
        """Options that make a session use this workplace and compile and build nothing."""
        return [*self.args_without_runtime, "--runtime", str(self.runtime_dir)]

    @property
    def args_without_runtime(self) -> list[str]:
        """The same, but a Runtime must be found or built."""
        return ["--specs", str(self.specs_dir), "--pre-gen-pte", str(self.bundles_dir)]

    def write_spec(self, model: str = "toy", **changes: object) -> Path:
        """A spec with one case, which the default reply answers, and no thresholds."""
        document = {
            "schema": 1,
            "model": model,
            "family": "smolvlm",
            "checkpoint": {"path": "checkpoint"},
            "recipe": {"quantization": "16a8w", "kv_cache_bits": 16},
            "max_seq_len": 128,
            "prefill_ar_len": 32,
            "modes": ["hybrid"],
            "calibration": [{"image": "calibration.png", "prompt": "What is it?"}],
            "cases": {"red": case()},
            "measurement": {"cool_down_s": 0.0},
            **changes,
        }
        path = self.specs_dir / f"{model}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False))
        return path

    def load_spec(self, model: str = "toy") -> Spec:
        """The spec as a session reads it."""
        return load_spec(self.specs_dir / f"{model}.yaml")

    def write_bundle(
        self,
        model: str = "toy",
        *,
        mode: str = "hybrid",
        target: str = "silicon",
        soc: str = "SM8750",
        folder: Path | None = None,
        prompt_suffix: tuple[int, ...] = (),
    ) -> Path:
        """The bundle of a spec, as a compiler would have left it.

        `prompt_suffix` goes behind each prompt, so that a stub can tell bundles apart.
        """
        spec = self.load_spec(model)
        folder = folder or self.bundles_dir / model / soc / mode
        (folder / "cases").mkdir(parents=True)
        ptes = {name: file.format(mode=mode) for name, file in PTES.items()}
        for name in ptes.values():
            (folder / name).write_bytes(name[:4].encode() * (PTE_BYTES // 4))
        for number, name in enumerate(spec.cases):
            (folder / f"cases/{name}.bin").write_bytes(bytes([number]) * 48)
        write_tokenizer(folder / "tokenizer.json")
        write_manifest(folder, _manifest(spec, folder, ptes, (mode, target, soc), prompt_suffix))
        return folder

    def write_runtime(
        self, default: Mapping[str, Any] = RED, replies: Sequence[Mapping[str, Any]] = ()
    ) -> Path:
        """The stub Runtime: `default` to every request, or the first of `replies` to match."""
        script = {"default": default, "replies": list(replies)}
        return make_stub_runtime(self.runtime_dir, script)

    def furnish(self, target: str, default: Mapping[str, Any] = RED) -> Workplace:
        """One spec in mode hybrid, its bundle and the Runtime."""
        self.write_spec()
        self.write_bundle(target=target)
        self.write_runtime(default)
        return self


def prompt_ids(spec: Spec, case_name: str) -> list[int]:
    """Prompt of a case: a picture and a number of its own, so that scripts can match it."""
    return [IMAGE_ID, 3, 100 + list(spec.cases).index(case_name)]


def write_tokenizer(path: Path) -> None:
    """A tokenizer of whole words."""
    words = {word: number for number, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<image>", "<stop>"])
    tokenizer.save(str(path))


def _component(spec: Spec, name: str, file: str) -> Component:
    recipe, methods = spec.recipe.of(name).as_dict(), {"forward": MethodFacts(None, 1, 10, None)}
    return Component(file, "qnn", recipe, methods, sqnr_db=44.0, compile_s=1.5)


def _manifest(
    spec: Spec,
    folder: Path,
    ptes: Mapping[str, str],
    made_for: tuple[str, str, str],
    prompt_suffix: tuple[int, ...],
) -> Manifest:
    mode, target, soc = made_for
    return Manifest(
        harness_version="0.1.0",
        model=spec.model,
        family=spec.family,
        checkpoint=Checkpoint("checkpoint", None, "0" * 64),
        soc=soc,
        htp_arch=find_soc(soc).htp_arch,
        backend="qnn",
        target=target,  # type: ignore[arg-type]
        mode=mode,  # type: ignore[arg-type]
        serves_modes=("kv", "hybrid") if mode == "hybrid" else ("kv",),
        max_seq_len=spec.max_seq_len,
        max_context_len=spec.max_context_len,
        prefill_ar_len=spec.prefill_ar_len,
        lookahead=None,
        versions={"executorch": "1.5.1", "qnn": None},
        components={name: _component(spec, name, file) for name, file in ptes.items()},
        files=describe_files(folder),
        image_token_id=IMAGE_ID,
        stop_token_ids=(STOP_ID,),
        cases={
            name: CaseInputs(
                entry.inputs_sha256,
                (
                    TurnInputs(
                        entry.prompt,
                        (*prompt_ids(spec, name), *prompt_suffix),
                        (ImageInput(f"cases/{name}.bin", (1, 3, 2, 2)),),
                        None,
                        None,
                    ),
                ),
                None,
            )
            for name, entry in spec.cases.items()
        },
    )
