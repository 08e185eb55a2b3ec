"""The real runner, on small PTEs for ExecuTorch's CPU kernels."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.cache import CACHE_VARIABLE, cache_root, locked, publish_dir
from harness.runtime import Runtime, find_runtime
from tests.sanitized import build_sanitized

TOY_DIR = Path(__file__).with_name("toy")
REPOSITORY_DIR = Path(__file__).parents[2]
RUN_TIMEOUT_S = 120
_TURN_KEYS = ("prompt_token_ids", "images", "teacher_forced_token_ids")
# Asked while collecting, because session fixtures of other suites point it elsewhere later.
SUITE_CACHE_DIR = cache_root()


@dataclass(frozen=True)
class RunnerResult:
    """How one run of the runner ended. `report` is None if it wrote none."""

    exit_code: int
    stdout: str
    stderr: str
    report: dict[str, Any] | None

    @property
    def message(self) -> str:
        """The line in which the runner says what was wrong."""
        lines = [line for line in self.stderr.splitlines() if line.startswith("vlm_runner: ")]
        return lines[-1] if lines else ""

    @property
    def turns(self) -> list[dict[str, Any]]:
        """The turns of the first iteration, of a run that succeeded."""
        assert self.exit_code == 0, self.stderr
        assert self.report is not None
        turns: list[dict[str, Any]] = self.report["iterations"][0]["turns"]
        return turns

    @property
    def turn(self) -> dict[str, Any]:
        """Its only turn."""
        assert len(self.turns) == 1
        return self.turns[0]


@dataclass(frozen=True)
class Toy:
    """A folder of `tests.cpp.toy` and a way to run requests in it."""

    dir: Path
    expected: dict[str, Any]
    executable: Path
    run_dir: Path

    def request(self, case: str = "two_images", mode: str = "kv", **changes: Any) -> dict[str, Any]:
        """A good request for one of the prompts; `changes` replace its keys, or its turn's."""
        turn = self.turn(case)
        turn |= {key: changes.pop(key) for key in _TURN_KEYS if key in changes}
        request = {
            **self._components(mode),
            "turns": [turn],
            "stop_token_ids": [],
            "max_new_tokens": 100,
        }
        return copy.deepcopy({**request, **changes})

    def conversation(self, name: str, mode: str, **changes: Any) -> dict[str, Any]:
        """A good request for one of the conversations, "TURNS-PICTURES"."""
        turns, next_image = [], 0
        for ids in self.expected["conversations"][name]["turns"]:
            placeholders = ids.count(self.expected["image_token_id"])
            count = placeholders // self.expected["image_tokens"]
            turns.append({"prompt_token_ids": ids, "images": self._images(next_image, count)})
            next_image += count
        request = {
            **self._components(mode),
            "turns": turns,
            "stop_token_ids": [self.expected["stop_token_id"]],
            "max_new_tokens": self.expected["reply_tokens"],
        }
        return copy.deepcopy({**request, **changes})

    def _components(self, mode: str) -> dict[str, Any]:
        suffix = "_lookahead" if mode == "lookahead" else ""
        components: dict[str, Any] = {
            "schema_version": 2,
            "mode": mode,
            "vision_encoder_pte": str(self.dir / "vision_encoder.pte"),
            "tok_embedding_pte": str(self.dir / f"tok_embedding{suffix}.pte"),
            "text_decoder_pte": str(self.dir / f"text_decoder{suffix}.pte"),
            "image_token_id": self.expected["image_token_id"],
        }
        if mode == "lookahead":
            names = ("window", "ngram", "gcap")
            shape = zip(names, self.expected["lookahead"], strict=True)
            components["lookahead"] = dict(shape)
        return components

    def _images(self, first: int, count: int) -> list[dict[str, Any]]:
        paths = [str(self.dir / f"pixels_{first + i}.bin") for i in range(count)]
        return [{"path": path, "shape": self.expected["image_shape"]} for path in paths]

    def turn(self, case: str) -> dict[str, Any]:
        """The turn of a request that asks one of the prompts."""
        prompt = self.expected["cases"][case]
        images = self._images(0, prompt["n_images"])
        return {"prompt_token_ids": prompt["ids"], "images": images}

    def answer(self, case: str, mode: str) -> list[int]:
        """What PyTorch answers."""
        tokens: list[int] = self.expected["cases"][case][mode]
        return tokens

    def run(
        self, request: dict[str, Any] | str, executable: Path | None = None, *options: str
    ) -> RunnerResult:
        """Run the runner in a folder of its own; a string is written as it is."""
        text = request if isinstance(request, str) else json.dumps(request)
        (self.run_dir / "request.json").write_text(text, encoding="utf-8")
        return run_runner(
            executable or self.executable,
            ["--request", "request.json", "--report", "report.json", *options],
            self.run_dir,
        )


def run_runner(executable: Path, argv: list[str], cwd: Path) -> RunnerResult:
    report = cwd / "report.json"
    done = subprocess.run(
        [executable, *argv],
        cwd=cwd,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=RUN_TIMEOUT_S,
        check=False,
    )
    content = json.loads(report.read_bytes()) if report.is_file() else None
    return RunnerResult(done.returncode, done.stdout, done.stderr, content)


@pytest.fixture(scope="session")
def runtime() -> Runtime:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(SUITE_CACHE_DIR))
        return find_runtime("x86_64", 79, simulated=True)


@pytest.fixture(scope="session")
def toy_folder() -> Callable[[str], Path]:
    """Exports a variant on first use; later runs find it in the cache."""

    def folder_of(variant: str) -> Path:
        sources = b"".join(path.read_bytes() for path in sorted(TOY_DIR.glob("*.py")))
        key = hashlib.sha256(sources).hexdigest()[:16]
        folder = SUITE_CACHE_DIR / "toy_vlm" / f"{variant}-{key}"
        with locked(folder.with_suffix(".lock"), f"exporting {folder.name}"):
            if not folder.is_dir():
                with publish_dir(folder) as temporary:
                    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
                    subprocess.run(
                        [sys.executable, "-m", "tests.cpp.toy", variant, temporary],
                        cwd=REPOSITORY_DIR,
                        env=environment,
                        check=True,
                    )
        return folder

    return folder_of


@pytest.fixture
def open_toy(
    runtime: Runtime, toy_folder: Callable[[str], Path], tmp_path: Path
) -> Callable[[str], Toy]:
    def toy_of(variant: str) -> Toy:
        folder = toy_folder(variant)
        expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
        return Toy(folder, expected, runtime.path_of(runtime.executable), tmp_path)

    return toy_of


@pytest.fixture
def toy(open_toy: Callable[[str], Toy]) -> Toy:
    """The float variant."""
    return open_toy("float")


@pytest.fixture(scope="session")
def sanitized_dir() -> Path:
    """A build folder of the runner and its tests under sanitizers."""
    return build_sanitized(SUITE_CACHE_DIR)
