"""`python -m benchmarks.upstream FOLDER`: upstream's path, in a process of its own.

Reads `job.json` there, writes `ptes/` and `result.json`. It calls `compile` of upstream's
`llama.py`, which puts the compile options (`use_mha2sha` among them) together and runs the
wheel's `MultiModalManager`; our own code only says which model, and afterwards asks the graphs
that were lowered.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.upstream.job import PTE_DIR_NAME, RESULT_NAME, UpstreamJob, read_job
from benchmarks.upstream.stand_ins import PilProcessor, stand_in_for_packages, write_params

_MODEL = "smolvlm_500m_instruct"
"""The entry of upstream's table that knows the family's layers, recipe and prompt."""


def main() -> None:
    """Compile, then answer the questions."""
    folder = Path(sys.argv[1])
    job, began = read_job(folder), time.monotonic()
    packages = stand_in_for_packages()
    manager = compile_ptes(job, folder)
    compiled_s = time.monotonic() - began
    result = {
        "stand_ins": [*packages, "AutoProcessor (needs torchvision)", "params JSON"],
        "masked_softmax": manager.text_decoder.decode.model_args.enable_masked_softmax,
        "compile_s": round(compiled_s, 1),
        "replies": replies(job, manager),
    }
    (folder / RESULT_NAME).write_text(json.dumps(result), encoding="utf-8")


def compile_ptes(job: UpstreamJob, folder: Path) -> Any:
    """Write the three PTEs; the `MultiModalManager` with its graphs as they were lowered."""
    from executorch.examples.qualcomm.oss_scripts.llama import llama
    from executorch.examples.qualcomm.oss_scripts.llama.dataset import preprocessors
    from executorch.examples.qualcomm.oss_scripts.llama.tokenizer import TokenizerWrapper

    managers = []

    class Kept(llama.MultiModalManager):
        """`compile` makes one and throws it away."""

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            managers.append(self)

    llama.MultiModalManager = Kept
    preprocessors.AutoProcessor = PilProcessor
    config = model_config(job, folder)
    args = llama._build_parser().parse_args(arguments(job, folder, config))
    args.max_context_len = args.max_seq_len
    tokenizer = TokenizerWrapper(args, config)
    parts = ("vision_encoder", "tok_embedding", "audio_encoder", "text_encoder")
    names = {part: f"{part}_qnn" for part in parts} | {"text_decoder": "hybrid_llama_qnn"}
    llama.compile(args, config, names, tokenizer, is_multimodal=True)
    return managers[0]


def arguments(job: UpstreamJob, folder: Path, config: Any) -> list[str]:
    """Upstream's command line, with the files that it names written into `folder`."""
    weights, samples = folder / "decoder.pth", folder / "calibration.json"
    config.convert_weights.__func__(job.checkpoint, str(weights))
    samples.write_text(json.dumps([_sample(question) for question in job.calibration]))
    options = {
        "--artifact": folder / PTE_DIR_NAME,
        "--decoder_model": _MODEL,
        "--checkpoint": weights,
        "--calib_samples": samples,
        "--soc_model": job.soc,
        "--model_mode": "hybrid",
        "--max_seq_len": job.max_seq_len,
        "--prefill_ar_len": job.prefill_ar_len,
        "--prompt": "unused",
    }
    words = [str(word) for option in options.items() for word in option]
    return [*words, "--compile_only", *(["--enable_x86_64"] if job.simulator else [])]


def _sample(question: Any) -> dict[str, object]:
    content = [{"type": "image"}, {"type": "text", "text": question.prompt}]
    return {"files": [question.image], "messages": [{"role": "user", "content": content}]}


def model_config(job: UpstreamJob, folder: Path) -> Any:
    """Upstream's entry of the family with this checkpoint's place and picture size."""
    from executorch.examples.qualcomm.oss_scripts.llama import SUPPORTED_LLM_MODELS
    from transformers import AutoConfig

    found: Any = AutoConfig.from_pretrained(job.checkpoint)
    params = folder / "params.json"
    write_params(found, params)
    side, patch = found.vision_config.image_size, found.vision_config.patch_size
    known = type(SUPPORTED_LLM_MODELS[_MODEL])
    size = {
        "img_seq_len": (side // patch // found.scale_factor) ** 2,
        "img_resized_h": side,
        "img_resized_w": side,
    }
    place = {"repo_id": job.checkpoint, "params_path": str(params)}
    encoder = type("Encoder", (known.vision_encoder,), size)
    return type("Model", (known,), {**place, "vision_encoder": encoder})()


def replies(job: UpstreamJob, manager: Any) -> dict[str, dict[str, object]]:
    """Greedy tokens of the converted graphs, by question, with how near the two best were."""
    if not job.questions:
        return {}
    from benchmarks.upstream.graphs import answer

    return {question.name: answer(job, manager, question) for question in job.questions}


if __name__ == "__main__":
    main()
