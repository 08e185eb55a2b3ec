"""What one compiler process is asked to do, and what it answers.

A job is a JSON file: the compiler process needs no spec, and everything that influences its
result stands in the file, so that the file's hash is the cache key. Needs no torch.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from harness.cache import file_sha256
from harness.spec import ComponentRecipe
from harness.vocabulary import Backend

JOB_NAME = "job.json"
RESULT_NAME = "result.json"
ERROR_NAME = "error.json"

PARENT_VARIABLE = "VLM_HARNESS_COMPILE_PARENT"
"""Tells a compiler process the pid of the process that waits for it."""

PREPARE = "case_inputs"
"""The job beside the three components: token ids, pixels and references of the cases."""


@dataclass(frozen=True)
class Question:
    """Pictures and a question about them."""

    images: tuple[str, ...]
    images_sha256: tuple[str, ...]
    prompt: str


@dataclass(frozen=True)
class Conversation:
    """One turn or more; `name` is the case's, or empty. `max_new_tokens` is per turn.

    With `keep_logits` all the float logits of the last reply are kept, not the best two only.
    """

    name: str
    turns: tuple[Question, ...]
    max_new_tokens: int
    image_splitting: bool = False
    keep_logits: bool = False

    @property
    def without_paths(self) -> Conversation:
        """The same wherever its pictures lie."""
        return replace(self, turns=tuple(replace(turn, images=()) for turn in self.turns))


@dataclass(frozen=True)
class Job:
    """One component of one bundle, or the preparation of its cases.

    `ar_lens` are the widths of the graphs to lower, `calibration_ar_len` that of the graph
    which is calibrated and gives them its encodings, lowered itself or not. `recipe` is that
    of the component, None for the preparation; `mode` names the decoder's file. Both lengths
    are 0 in components that know no positions. With a `random_seed` the checkpoint is a
    configuration, and its weights are drawn.
    """

    part: str
    family: str
    checkpoint: str
    checkpoint_sha256: str
    context_length: int
    max_seq_len: int
    conversations: tuple[Conversation, ...]
    soc: str = ""
    recipe: ComponentRecipe | None = None
    mode: str = ""
    ar_lens: tuple[int, ...] = ()
    calibration_ar_len: int = 0
    simulator: bool = False
    random_seed: int | None = None
    backend: Backend = "qnn"
    perplexity_text: str = ""

    @property
    def made_by(self) -> ComponentRecipe:
        """The recipe of a component's job."""
        assert self.recipe is not None, f"{self.part} is made without a recipe"
        return self.recipe

    @property
    def target_name(self) -> str:
        """What it is compiled for, as messages name it."""
        if self.part == PREPARE:
            return "its cases"
        return self.soc if self.backend == "qnn" else "CPUs"

    def key(self, stack: dict[str, str | None]) -> str:
        """Hash of everything that influences the result: never of where files lie."""
        bare = replace(
            self,
            checkpoint="",
            conversations=tuple(talk.without_paths for talk in self.conversations),
        )
        if self.part == PREPARE or self.backend != "qnn":
            stack = {name: version for name, version in stack.items() if "qnn" not in name}
        content = {"job": asdict(bare), "stack": stack, "code": code_sha256()}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def write_job(folder: Path, job: Job) -> Path:
    """Write `job.json` into a folder; returns its path."""
    path = folder / JOB_NAME
    path.write_text(json.dumps(asdict(job), indent=2) + "\n", encoding="utf-8")
    return path


def read_job(path: Path) -> Job:
    """Read what `write_job` wrote."""
    return TypeAdapter(Job).validate_json(path.read_bytes())


def write_result(folder: Path, result: Any) -> None:
    """Write a job's answer (a dataclass) as `result.json`."""
    text = json.dumps(asdict(result), indent=2)
    (folder / RESULT_NAME).write_text(text + "\n", encoding="utf-8")


def code_sha256() -> str:
    """Hash of the sources that turn a checkpoint into a bundle."""
    root = Path(__file__).resolve().parents[2]
    compiler, manifest = root / "harness" / "compile", root / "harness" / "manifest.py"
    sources = sorted([*(root / "models").glob("*.py"), *compiler.glob("*.py"), manifest])
    digest = hashlib.sha256()
    for source in sources:
        digest.update(f"{source.relative_to(root)} {file_sha256(source)}\n".encode())
    return digest.hexdigest()
