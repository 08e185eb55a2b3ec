"""How an error of the harness ends a test, and the session.

An error is raised while a fixture makes what the test needs, so pytest counts it as an
error; a judgement fails in the test itself. The exit status is that of the gravest outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from harness.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_INFRA, HarnessError


@dataclass
class Tally:
    """What occurred in this session, for its exit status."""

    failed: bool = False
    infra: bool = False
    inconclusive: bool = False
    kinds: dict[str, int] = field(default_factory=dict)

    def count(self, error: HarnessError) -> None:
        """Note an error."""
        self.kinds[error.kind] = self.kinds.get(error.kind, 0) + 1
        if error.exit_status == EXIT_INFRA:
            self.infra = True
        else:
            self.failed = True

    def exit_status(self, of_pytest: int) -> int:
        """The session's exit status; pytest's own 2 to 5 keep their meaning."""
        if of_pytest not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return of_pytest
        if self.failed:
            return EXIT_FAILED
        if self.infra:
            return EXIT_INFRA
        return EXIT_INCONCLUSIVE if self.inconclusive else of_pytest


def describe_error(error: BaseException, seen: set[int]) -> str:
    """The message of an error, whole the first time, its first line afterwards."""
    text = str(error)
    if id(error) in seen:
        return text.splitlines()[0] + "\n  (the same error as above)"
    seen.add(id(error))
    return text
