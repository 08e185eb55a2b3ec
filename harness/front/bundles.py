"""The bundle that a session's tests run: given, adopted from others' files, or compiled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from harness.bundle import Bundle, check_bundle, find_bundle
from harness.foreign import ForeignFolder, find_foreign
from harness.front.console import Console
from harness.manifest import ANY_SOC
from harness.socs import Soc
from harness.spec import Spec
from harness.vocabulary import Backend, Mode, Target


@dataclass(frozen=True)
class WantedBundle:
    """What a bundle must be. `mode` is the one it is made for, `runs_in` the one it must serve."""

    spec: Spec
    soc: Soc
    mode: Mode
    runs_in: Mode
    target: Target
    backend: Backend

    def check(self, bundle: Bundle) -> None:
        """Refuse one that it is not. Raises BundleMismatch, BundleStale."""
        check_bundle(bundle, self.spec, self.soc, self.runs_in, self.target, self.backend)


def mode_to_compile(mode: Mode, tested: Collection[Mode]) -> Mode:
    """The mode to compile a bundle for that is to run in `mode`, others being `tested` beside it.

    A hybrid bundle serves kv runs too, so that one is enough for both. A lookahead bundle
    serves nothing else, and nothing else serves lookahead.
    """
    return "hybrid" if mode == "kv" and "hybrid" in tested else mode


def given_bundle(wanted: WantedBundle, root: Path) -> Bundle:
    """The bundle at or below a folder.

    Raises:
        BundleError: none is there, or it is not what is wanted.
    """
    made_for = wanted.soc.id if wanted.backend == "qnn" else ANY_SOC
    bundle = find_bundle(root, wanted.spec.model, made_for, wanted.mode)
    wanted.check(bundle)
    return bundle


def provide_bundle(wanted: WantedBundle, given: Path | None, console: Console) -> Bundle:
    """The bundle that `--pre-gen-pte` names; without the option a cached or new one.

    Raises:
        BundleError, CompileError.
    """
    if given is None:
        return _compiled(wanted, console)
    foreign = find_foreign(given)
    return given_bundle(wanted, given) if foreign is None else _adopted(wanted, foreign, console)


def _compiled(wanted: WantedBundle, console: Console) -> Bundle:
    from harness.compile import BundleRequest, compile_bundle

    request = BundleRequest(wanted.spec, wanted.soc, wanted.mode, wanted.target, wanted.backend)
    with console.compile_progress(str(request)) as on_stage:
        bundle = compile_bundle(request, None, on_stage, console.say)
    wanted.check(bundle)
    return bundle


def _adopted(wanted: WantedBundle, foreign: ForeignFolder, console: Console) -> Bundle:
    """A bundle around PTEs without a manifest, which ExecuTorch's `llama.py` wrote."""
    from harness.compile import BundleRequest
    from harness.compile.adopt import adopt_foreign

    request = BundleRequest(wanted.spec, wanted.soc, wanted.runs_in, wanted.target)
    with console.compile_progress(f"the cases of {wanted.spec.model}") as on_stage:
        bundle = adopt_foreign(foreign, request, on_stage, console.say)
    check_bundle(bundle, wanted.spec, wanted.soc, wanted.runs_in, wanted.target)
    return bundle
