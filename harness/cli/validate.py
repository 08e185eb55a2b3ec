"""The command `validate`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from harness.errors import HarnessError
from harness.socs import SOC_TABLE_NAME, find_soc, specs_dir
from harness.spec import check_recipe_for_soc, find_spec, load_spec, load_specs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("specs", nargs="*", help="models or YAML files; none: all of specs/")
    parser.add_argument("--soc", help="whether they can be compiled for this SoC, too")


def main(args: argparse.Namespace) -> int:
    """Check specs; all problems of all of them are told. 1 if there are any.

    Raises:
        SpecError: two specs of `specs/` are of one model.
    """
    wrong = 0
    for name in args.specs or _all_specs():
        try:
            spec = find_spec(name) if isinstance(name, str) else load_spec(name)
            if args.soc is not None and spec.backend == "qnn":
                check_recipe_for_soc(spec, find_soc(args.soc), target="silicon")
        except HarnessError as err:
            print(err, file=sys.stderr)
            wrong += 1
            continue
        print(f"{spec.path}: {spec.model} is fine ({len(spec.cases)} cases)")
    if not args.specs and not wrong:
        load_specs()  # two files of one model are wrong together only
    return 1 if wrong else 0


def _all_specs() -> list[Path]:
    return sorted(path for path in specs_dir().glob("*.yaml") if path.name != SOC_TABLE_NAME)
