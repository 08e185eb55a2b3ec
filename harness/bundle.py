"""A bundle: a folder with everything a run of one model on one SoC needs.

The folder's `manifest.json` names every file with size and sha256. A bundle is trusted
only after its files were compared with it; `load_bundle` does that. Needs neither torch
nor transformers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness.bundle_files import Verification, Verify, verify_files
from harness.errors import BundleMismatch, BundleMissing, BundleStale
from harness.manifest import (
    MANIFEST_NAME,
    CaseInputs,
    Checkpoint,
    Component,
    FileEntry,
    ImageInput,
    Manifest,
    MethodFacts,
    TurnInputs,
    describe_files,
    parse_manifest,
    write_manifest,
)
from harness.references import reference_logits_name
from harness.socs import Soc
from harness.spec.model import Spec
from harness.vocabulary import COMPONENTS, Backend, Mode, Target

__all__ = [
    "COMPONENTS",
    "MANIFEST_NAME",
    "Bundle",
    "CaseInputs",
    "Checkpoint",
    "Component",
    "FileEntry",
    "ImageInput",
    "Manifest",
    "MethodFacts",
    "Mode",
    "Target",
    "TurnInputs",
    "Verification",
    "Verify",
    "check_bundle",
    "describe_files",
    "find_bundle",
    "load_bundle",
    "parse_manifest",
    "write_manifest",
]


@dataclass(frozen=True)
class Bundle:
    """A folder whose files are those of its manifest."""

    dir: Path
    manifest: Manifest
    verification: Verification

    def path_of(self, name: str) -> Path:
        """Full path of a file that the manifest lists; KeyError if it does not."""
        self.manifest.files[name]
        return self.dir / name

    def component_path(self, component: str) -> Path:
        """Full path of a component's PTE."""
        return self.path_of(self.manifest.components[component].file)

    def pte_size_bytes(self) -> dict[str, int]:
        """Size of each component's PTE."""
        parts = self.manifest.components.items()
        return {name: self.manifest.files[part.file].size_bytes for name, part in parts}


def load_bundle(folder: Path, *, verify: Verify = "cached") -> Bundle:
    """Read a bundle and compare every file with its manifest.

    Args:
        folder: the folder with `manifest.json`.
        verify: "full" hashes all files; "cached" takes a hash as read when the file's
            size, times and inode are those of an earlier hashing on this machine.

    Raises:
        BundleMissing: no such folder, or no manifest in it.
        BundleCorrupt: a garbled manifest, or a file that is missing, truncated, changed
            or outside the folder.
        BundleMismatch: PTEs of something else lie in the same folder.
    """
    path = folder / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as err:
        raise _missing(folder, (path,)) from err
    manifest = parse_manifest(data, path)
    return Bundle(folder, manifest, verify_files(folder, manifest, verify))


def find_bundle(
    root: Path, model: str, soc: str, mode: str, *, verify: Verify = "cached"
) -> Bundle:
    """The bundle for a model, SoC and mode below `root`.

    `root` is one bundle, or a folder of bundles `<model>/<soc>/<mode>`; there a hybrid
    bundle serves kv too. What was found still has to pass `check_bundle`.

    Raises: BundleMissing naming every path looked for, and what `load_bundle` raises.
    """
    if (root / MANIFEST_NAME).exists():
        return load_bundle(root, verify=verify)
    modes = (mode, "hybrid") if mode == "kv" else (mode,)
    candidates = [root / model / soc / name for name in modes]
    for folder in candidates:
        if (folder / MANIFEST_NAME).exists():
            return load_bundle(folder, verify=verify)
    raise _missing(root, [root / MANIFEST_NAME, *(c / MANIFEST_NAME for c in candidates)])


def check_bundle(
    bundle: Bundle, spec: Spec, soc: Soc, mode: str, target: str, backend: Backend = "qnn"
) -> None:
    """Refuse a bundle that is not what is about to be run.

    Args:
        spec: the model it must be, with the cases whose inputs it must hold.
        soc: the SoC it must have been compiled for.
        mode: "kv", "hybrid" or "lookahead".
        target: "silicon" or "simulator", what the device can load.
        backend: "qnn", or "xnnpack", whose bundles serve every SoC and both targets.

    Raises:
        BundleMismatch: another model, backend, SoC, mode or target.
        BundleStale: compiled from another state of the spec.
    """
    manifest = bundle.manifest
    doing = f"checking the bundle {bundle.dir}"
    wanted = [
        ("model", manifest.model, spec.model),
        ("backend", manifest.backend, backend),
    ]
    options = f"--backend {backend} --mode {mode}"
    if backend == "qnn":
        wanted += [
            ("SoC", manifest.soc, soc.id),
            ("HTP arch", f"V{manifest.htp_arch}", f"V{soc.htp_arch}"),
            ("target", manifest.target, target),
        ]
        options = f"--soc {soc.id} --mode {mode} --target {target}"
    for what, found, expected in wanted:
        if found != expected:
            raise BundleMismatch(
                doing,
                f"it was made for {what} {found}, not {expected}",
                expected=f"{what} {expected}",
                hint=f"--backend {manifest.backend}"
                if what == "backend"
                else f"python -m harness compile {spec.model} {options} --out DIR",
            )
    if mode not in manifest.serves_modes:
        raise BundleMismatch(
            doing,
            f"it serves mode {' and '.join(manifest.serves_modes)}, not {mode}",
            expected=f"mode {mode}",
            hint=f"--mode {manifest.mode}, or compile one with --mode {mode}",
        )
    for difference in _differences(manifest, spec):
        raise BundleStale(
            doing,
            difference,
            expected=f"what {spec.path} says now",
            hint=f"compile {spec.model} again; the spec changed since the bundle was made",
        )


def _differences(manifest: Manifest, spec: Spec) -> Iterator[str]:
    """What the spec says otherwise than the bundle that was compiled from it."""
    names = ["max_seq_len", "max_context_len"]
    names += [] if manifest.mode == "kv" else ["prefill_ar_len"]
    names += ["lookahead"] if manifest.mode == "lookahead" else []
    for name in names:
        found, wanted = getattr(manifest, name), getattr(spec, name)
        if found != wanted:
            yield f"{name} is {found} in it and {wanted} in the spec"
    for component, recipe in spec.recipe_for(manifest.backend).as_dict().items():
        made = manifest.components[component].recipe
        if not made:
            continue  # made by somebody else, who did not say how
        for key in sorted({*made, *recipe}):
            found, wanted = made.get(key), recipe.get(key)
            if found != wanted:
                yield f"{component}'s {key} is {found!r} in it and {wanted!r} in the spec"
    yield from _case_differences(manifest, spec)


def _case_differences(manifest: Manifest, spec: Spec) -> Iterator[str]:
    for name, sha256 in spec.inputs_sha256.items():
        prepared = manifest.cases.get(name)
        if prepared is None:
            yield f"it holds no inputs for case {name!r}"
        elif prepared.inputs_sha256 != sha256:
            yield f"the prompts or pictures of case {name!r} is another one than in the spec"
    for name in spec.cases if spec.accuracy.logits is not None else ():
        if reference_logits_name(name) not in manifest.files:
            yield f"it holds no float logits of case {name!r}"


def _missing(root: Path, looked_for: Iterable[Path]) -> BundleMissing:
    problem = "no bundle is there" if root.is_dir() else "there is no such folder"
    strays = sorted(path.name for path in root.glob("*.pte"))
    if strays:
        problem = f"PTEs without a {MANIFEST_NAME} ({', '.join(strays)})"
    return BundleMissing(
        f"looking for a bundle in {root}",
        problem,
        expected=" or ".join(str(path) for path in looked_for),
        hint="python -m harness compile SPEC --soc SOC --mode MODE --out DIR makes one",
    )
