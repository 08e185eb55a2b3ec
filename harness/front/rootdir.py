"""Makes pytest find the project's configuration whatever folders its options name.

pytest looks for its configuration before it knows the options of plugins, and takes the
value of an unknown option for a test folder: `--pre-gen-pte /data/bundles` makes it look in
/data, find nothing, and run every test it can find without our settings. A plugin that is
installed learns of this just after, so it starts pytest once more with the file named.
That takes some tenths of a second; `--pre-gen-pte=/data/bundles` does not mislead pytest.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

_CONFIGURATION = Path(__file__).resolve().parents[2] / "pyproject.toml"


def restart_if_misled(config: pytest.Config) -> None:
    """Start this process anew with `-c pyproject.toml` if pytest missed that file.

    Only for a pytest that was called from the command line inside the project. The file is
    named on the new command line, where workers of pytest-xdist find it too.
    """
    invocation = config.invocation_params
    args = list(invocation.args)
    called_by_hand = args == sys.argv[1:]
    inside = invocation.dir.is_relative_to(_CONFIGURATION.parent)
    if config.inipath is not None or not called_by_hand or not inside:
        return
    program = sys.orig_argv[1 : len(sys.orig_argv) - len(args)]
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *program, "-c", str(_CONFIGURATION), *args])
