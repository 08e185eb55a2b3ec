"""What the hooks of one pytest process share: options, specs, console, folder and session."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import pytest

from harness.bench.ledger import Ledger, Record
from harness.front.console import Console
from harness.front.options import Options, read_options
from harness.front.places import PLACE_KEY, with_phone
from harness.front.session import Session
from harness.front.session_folder import SessionFolder, open_session_folder
from harness.socs import specs_dir
from harness.spec import Spec, check_overridable, load_specs, override_recipe
from harness.vocabulary import Mode

FOLDER_KEY = "vlm_device_harness_folder"
"""Under which pytest-xdist tells a worker the session's folder."""


class State:
    """What the hooks of one pytest process share."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        given = getattr(config, "workerinput", {}).get(PLACE_KEY)
        self.options: Options = with_phone(read_options(config), given)
        self.specs = _load_specs(self.options)
        self.console = Console(config)
        self.selected_modes: set[Mode] = set()

    @cached_property
    def folder(self) -> SessionFolder:
        """The session's folder; in a worker that of its controller."""
        given = getattr(self._config, "workerinput", {}).get(FOLDER_KEY)
        if given is not None:
            return SessionFolder(Path(given))
        folder = open_session_folder(self.options, self._config.rootpath, self.console.say)
        Ledger(folder.phones).forget_quarantines()
        return folder

    @cached_property
    def session(self) -> Session:
        """Made when the first test needs it, when the modes of all tests are known."""
        modes = frozenset(self.selected_modes)
        return Session(self.options, self.console, modes, self.folder)

    def bench_records(self) -> dict[str, Record]:
        """What became of the phones, by name."""
        return Ledger(self.folder.phones).all() if "folder" in self.__dict__ else {}

    def close(self) -> None:
        """End the session if there was one."""
        if "session" in self.__dict__:
            self.session.close()
        if "folder" in self.__dict__:
            self.folder.close()


def _load_specs(options: Options) -> dict[str, Spec]:
    """The session's specs; none where the package is installed without the project."""
    if options.specs_dir is None and not specs_dir().is_dir():
        return {}
    check_overridable(options.recipe, options.backend)
    specs = load_specs(options.specs_dir)
    return {model: override_recipe(spec, options.recipe) for model, spec in specs.items()}
