"""Names of files and methods in ExecuTorch's contract, the same for every backend."""

from __future__ import annotations

from harness.compile.job import Job

METHOD_NAMES = {
    "tok_embedding": ("tok_embedding_kv_forward", "tok_embedding_prefill_forward"),
    "text_decoder": ("kv_forward", "prefill_forward"),
}


def pte_name(job: Job) -> str:
    """File name of a component's PTE."""
    if job.part == "text_decoder":
        return f"{job.mode}_llama_{job.backend}.pte"
    return f"{job.part}_{job.backend}.pte"


def method_names(job: Job) -> tuple[str, ...]:
    """The methods of a component's PTE, one per width."""
    return METHOD_NAMES.get(job.part, ("forward",))[: max(1, len(job.ar_lens))]
