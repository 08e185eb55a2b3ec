"""The command `suggest-thresholds`."""

from __future__ import annotations

import argparse
import difflib
import io
from collections.abc import Sequence
from pathlib import Path

from harness.errors import InputError
from harness.journal import read_journal
from harness.socs import specs_dir
from harness.suggest import FEWEST_NIGHTS, Suggestion, patch_document, suggest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("results", type=Path, metavar="RESULTS", help="a journal")
    parser.add_argument("--specs", type=Path, metavar="DIR", help="folder of specs (specs/)")


def main(args: argparse.Namespace) -> int:
    """Print each proposal as a comment, then a patch to the specs.

    The bound is what one more night of the same model passes with 99 %. Only entries that a
    spec has are changed; comments and order stay.
    """
    suggestions = suggest(read_journal(args.results))
    if not suggestions:
        raise InputError(
            f"reading {args.results}",
            f"no phone has repeats from {FEWEST_NIGHTS} nights",
            hint="run `pytest -m perf --journal FILE` on more nights",
        )
    for suggestion in suggestions:
        print(f"# {suggestion}")
    folder = args.specs or specs_dir()
    for path in sorted(folder.glob("*.yaml")):
        print(_patch(path, suggestions), end="")
    return 0


def _patch(path: Path, suggestions: Sequence[Suggestion]) -> str:
    """A unified diff of one spec; empty where nothing changes."""
    from ruamel.yaml import YAML  # slow to load, and of use here only

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4096  # or it breaks long lines anew
    text = path.read_text(encoding="utf-8")
    if "\n  - " in text:
        yaml.indent(mapping=2, sequence=4, offset=2)  # the lists as this file has them
    document = yaml.load(text)
    if not isinstance(document, dict):
        return ""
    before = _dumped(yaml, document)
    own = [each for each in suggestions if each.group.model == document.get("model")]
    patched = [patch_document(document, suggestion) for suggestion in own]
    if not any(patched):
        return ""
    # Against what ruamel makes of the file unchanged, so that its own habits (spaces within
    # braces) do not show; the lines that differ then apply to the file itself.
    changed = _with_changed_lines(text, before, _dumped(yaml, document))
    lines = difflib.unified_diff(
        text.splitlines(keepends=True),
        changed.splitlines(keepends=True),
        f"a/{path.name}",
        f"b/{path.name}",
    )
    return "".join(lines)


def _dumped(yaml: object, document: object) -> str:
    stream = io.StringIO()
    yaml.dump(document, stream)  # type: ignore[attr-defined]
    return stream.getvalue()


def _with_changed_lines(text: str, before: str, after: str) -> str:
    """The file with the lines that differ between two dumps, all else as it was written."""
    old, dumped = text.splitlines(keepends=True), before.splitlines(keepends=True)
    if len(old) != len(dumped):
        return after  # ruamel lays this file out in other lines
    lines: list[str] = []
    matcher = difflib.SequenceMatcher(None, dumped, after.splitlines(keepends=True), False)
    for kind, begin, end, new_begin, new_end in matcher.get_opcodes():
        if kind == "equal":
            lines += old[begin:end]
        else:
            lines += after.splitlines(keepends=True)[new_begin:new_end]
    return "".join(lines)
