"""The command line, `python -m harness COMMAND`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from harness import __version__
from harness.cli import (
    compile_command,
    devices,
    doctor,
    explain,
    inspect_command,
    night_summary,
    runtime_command,
    schema,
    suggest_thresholds,
    validate,
)
from harness.errors import HarnessError
from harness.virtual_phone import cli as virtual_phone

_COMMANDS = {
    "compile": (compile_command, "compile a model to a bundle"),
    "inspect": (inspect_command, "print what a bundle or a PTE holds, and its DRAM bound"),
    "validate": (validate, "check specs"),
    "explain": (explain, "print every effective value of a spec and where it comes from"),
    "schema": (schema, "print the JSON Schema of specs"),
    "suggest-thresholds": (suggest_thresholds, "propose floors and ceilings from a journal"),
    "night-summary": (night_summary, "tell a night in a minute: what failed, since when, where"),
    "devices": (devices, "list the devices an adb server knows"),
    "doctor": (doctor, "say what is missing on this machine, and what fixes it"),
    "runtime": (runtime_command, "make a Runtime folder: the runner and its libraries"),
    "virtual-phone": (virtual_phone, "start a virtual phone"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0, 1, 70 for the bench, 130 for Ctrl-C)."""
    args = _parser().parse_args(argv)
    try:
        return int(args.run(args))
    except HarnessError as err:
        print(err, file=sys.stderr)
        return err.exit_status
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m harness", description=__doc__)
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in _COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary)
        module.add_arguments(command)
        command.set_defaults(run=module.main)
    return parser
