"""The command `schema`."""

from __future__ import annotations

import argparse

from harness.spec.json_schema import schema_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command has no options."""
    del parser


def main(args: argparse.Namespace) -> int:
    """Print the JSON Schema of specs."""
    del args
    print(schema_text(), end="")
    return 0
