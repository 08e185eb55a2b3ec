"""What an HTP arch cannot run: recipes that are right by themselves and wrong for a SoC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from harness.errors import SpecError, SpecProblem
from harness.socs import Soc
from harness.spec.model import Spec
from harness.spec.recipe import TEXT_DECODER, ComponentRecipe
from harness.vocabulary import COMPONENTS, Mode, Target

# From ExecuTorch's Qualcomm backend: validate_lpbq_support and validate_16a16w_support in
# quantizer/annotators/htp_rules.py, the notes on fp16 in utils/utils.py and on weight sharing
# in examples/qualcomm/oss_scripts/llama/README.md.
BLOCK_ARCH = 69
HALF_PRECISION_ARCH = 69
WIDE_MATMUL_ARCH = 73
WEIGHT_SHARING_ARCH = 73


def check_recipe_for_soc(
    spec: Spec, soc: Soc, modes: Iterable[Mode] | None = None, target: Target | None = None
) -> None:
    """Refuse a spec that cannot be compiled for a SoC.

    Args:
        modes: those to compile; None for the spec's.
        target: what to compile for; None where that is not known yet.

    Raises:
        SpecError: every combination that the SoC's HTP cannot run, with the SoC's name.
    """
    found = [
        (f"$.recipe.{component}", problem, expected)
        for component in COMPONENTS
        for problem, expected in _of_component(spec.recipe.of(component), component, soc)
    ]
    found += _of_modes(spec.modes if modes is None else tuple(modes), soc, target)
    if found:
        problems = [
            SpecProblem(spec.recipe.file or spec.path, spec.recipe.line, 1, path, *told)
            for path, *told in found
        ]
        raise SpecError(spec.path, problems)


def _of_component(recipe: ComponentRecipe, component: str, soc: Soc) -> Iterator[tuple[str, str]]:
    here = f"{soc.id} has HTP V{soc.htp_arch}"
    if "16a4w_block" in recipe.schemes and soc.htp_arch < BLOCK_ARCH:
        yield f"16a4w_block needs HTP V{BLOCK_ARCH}; {here}", "8a8w, 16a8w or 16a4w"
    if recipe.quantization == "fp16" and soc.htp_arch < HALF_PRECISION_ARCH:
        yield f"fp16 needs HTP V{HALF_PRECISION_ARCH}; {here}", "a quantisation"
    is_wide = any(scheme.startswith("16a") for scheme in recipe.schemes)
    if not is_wide or soc.htp_arch >= WIDE_MATMUL_ARCH:
        return
    needs = f"16-bit activations on both sides need HTP V{WIDE_MATMUL_ARCH}; {here}"
    if component == "vision_encoder":
        yield f"its attention multiplies matrices: {needs}", "8a8w or fp16"
    if component == TEXT_DECODER and recipe.kv_cache_bits == 16:
        yield f"its attention multiplies by a 16-bit KV cache: {needs}", "kv_cache_bits: 8"


def _of_modes(
    modes: tuple[Mode, ...], soc: Soc, target: Target | None
) -> list[tuple[str, str, str]]:
    several = [mode for mode in modes if mode != "kv"]
    if target != "silicon" or not several or soc.htp_arch >= WEIGHT_SHARING_ARCH:
        return []
    problem = (
        f"mode {several[0]} lets two graphs share their weights, which needs HTP "
        f"V{WEIGHT_SHARING_ARCH}; {soc.id} has V{soc.htp_arch}"
    )
    return [("$.modes", problem, "mode kv")]
