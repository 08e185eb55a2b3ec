"""`python -m harness.virtual_phone`: the daemon, without the rest of the harness."""

from __future__ import annotations

import argparse
import sys

from harness.errors import HarnessError
from harness.virtual_phone.cli import add_arguments, main


def _run() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m harness.virtual_phone", description="A phone for adb, without a phone."
    )
    add_arguments(parser)
    try:
        return main(parser.parse_args())
    except HarnessError as err:
        print(err, file=sys.stderr)
        return err.exit_status


if __name__ == "__main__":
    sys.exit(_run())
