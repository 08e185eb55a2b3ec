"""Which jobs make a bundle, and what each depends on. Needs no torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from harness.cache import file_sha256
from harness.compile.job import PREPARE, Conversation, Job, Question
from harness.errors import CompileError
from harness.manifest import ANY_SOC
from harness.socs import Soc
from harness.spec import CheckpointRef, ImageSource, Spec, check_recipe_for_soc
from harness.vocabulary import COMPONENTS, Backend, Mode, Target

_CALIBRATION_REPLY_TOKENS = 64
WITH_WIDTHS = ("tok_embedding", "text_decoder")
"""The components that have one graph per number of tokens."""
WITH_POSITIONS = ("text_decoder", PREPARE)
"""The jobs to which it matters how many positions there are."""
_WEIGHT_FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model")


@dataclass(frozen=True)
class BundleRequest:
    """What to compile: `target` says whether graphs share weights (silicon) or not.

    A bundle for the CPU (`backend` "xnnpack") is the same for every SoC and both targets.
    """

    spec: Spec
    soc: Soc | None  # None for the CPU only
    mode: Mode
    target: Target
    backend: Backend = "qnn"

    @property
    def soc_name(self) -> str:
        """The SoC's id, or what a manifest says in its place."""
        return ANY_SOC if self.backend != "qnn" or self.soc is None else self.soc.id

    def __str__(self) -> str:
        if self.backend != "qnn":
            return f"{self.spec.model} for CPUs, {self.mode}"
        return f"{self.spec.model} for {self.soc_name}, {self.mode}, {self.target}"


def plan_jobs(request: BundleRequest, checkpoint_dir: Path) -> dict[str, Job]:
    """One job per component and one for the case inputs, by part.

    Raises:
        SpecError: the SoC cannot run what the recipe asks for.
        InputError: a picture is not on this machine or not the one the spec means.
        CompileError: the checkpoint folder is unusable.
    """
    spec, on_htp = request.spec, request.backend == "qnn"
    recipe = spec.recipe_for(request.backend)
    if on_htp and request.soc is not None:
        check_recipe_for_soc(spec, request.soc, [request.mode], request.target)
    random = spec.checkpoint.seed is not None
    checkpoint_sha256 = checkpoint_hash(checkpoint_dir, weights=not random)
    calibration = tuple(
        Conversation(
            "",
            (_question(sample.images, sample.prompt),),
            _CALIBRATION_REPLY_TOKENS,
            spec.image_splitting,
        )
        for sample in spec.calibration
    )
    cases = tuple(
        Conversation(
            case.name,
            tuple(_question(turn.images, turn.prompt) for turn in case.turns),
            case.max_new_tokens,
            case.splitting,
            keep_logits=name in spec.cases and spec.accuracy.logits is not None,
        )
        for name, case in spec.asked_cases.items()
    )
    perplexity = spec.accuracy.perplexity

    def job(part: str) -> Job:
        component = part != PREPARE
        # The others are the same at any length, and cached as such.
        has_positions = part in WITH_POSITIONS
        widths = graph_widths(spec, request.mode) if part in WITH_WIDTHS else (1,)
        return Job(
            part=part,
            family=spec.family,
            checkpoint=str(checkpoint_dir),
            checkpoint_sha256=checkpoint_sha256,
            context_length=spec.max_context_len if has_positions else 0,
            max_seq_len=spec.max_seq_len if has_positions else 0,
            conversations=calibration if component else cases,
            soc=request.soc_name if component and on_htp else "",
            recipe=recipe.of(part) if component else None,
            mode=request.mode if part in WITH_WIDTHS else "",
            ar_lens=widths if component else (),
            calibration_ar_len=spec.prefill_ar_len,
            simulator=component and on_htp and request.target == "simulator",
            random_seed=spec.checkpoint.seed,
            backend=request.backend if component else "qnn",
            perplexity_text="" if component or perplexity is None else perplexity.text,
        )

    return {part: job(part) for part in (*COMPONENTS, PREPARE)}


def graph_widths(spec: Spec, mode: Mode) -> tuple[int, ...]:
    """Tokens a call of the decode graph takes, then of the prefill graph if there is one."""
    if mode == "kv":
        return (1,)
    if mode == "lookahead" and spec.lookahead is not None:
        return (spec.lookahead.ar_len, spec.prefill_ar_len)
    return (1, spec.prefill_ar_len)


def find_checkpoint(ref: CheckpointRef) -> Path:
    """The checkpoint's folder; a hub id is downloaded or taken from the hub's own cache.

    Raises:
        CompileError: there is no such folder, or the hub cannot be reached.
    """
    doing = f"finding the checkpoint {ref}"
    if ref.path is not None:
        if not (ref.path / "config.json").is_file():
            raise CompileError(doing, f"no config.json in {ref.path}")
        return ref.path
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            str(ref.hub), revision=ref.revision, allow_patterns=list(_WEIGHT_FILES)
        )
    except Exception as err:
        # The hub's client raises a dozen kinds for one thing: it is not here, nor to be had.
        raise CompileError(
            doing,
            f"not in the local cache and not to be downloaded ({type(err).__name__})",
            hint=f"with a network: hf download {ref.hub} --revision {ref.revision}; "
            "or name a local folder in the spec (checkpoint: {path: ...})",
        ) from err
    return Path(folder)


def checkpoint_hash(folder: Path, *, weights: bool = True) -> str:
    """sha256 over names and contents of a checkpoint's files.

    Raises:
        CompileError: there are no weights, and `weights` asks for some.
    """
    paths = sorted({path for pattern in _WEIGHT_FILES for path in folder.glob(pattern)})
    if weights and not any(path.suffix == ".safetensors" for path in paths):
        raise CompileError(
            "reading the checkpoint", f"no *.safetensors in {folder}", expected="weights"
        )
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _question(images: tuple[ImageSource, ...], prompt: str) -> Question:
    return Question(
        images=tuple(str(image.locate()) for image in images),
        images_sha256=tuple(image.sha256 for image in images),
        prompt=prompt,
    )
