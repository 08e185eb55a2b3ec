"""In JUnit the class of an outcome is the type of its element.

pytest writes how a failure was raised ("pytest.skip"); a CI system wants to know whether it was
the bench, the spec or the model.
"""

from __future__ import annotations

import pytest

# JUnit's own collection has no public name.
from _pytest.junitxml import xml_key

from harness.front.outcomes import notes_of


class JunitTypes:
    """A hook of the process that writes the file."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """After pytest has added the element."""
        junit = self._config.stash.get(xml_key, None)
        kind = notes_of(report).get("failure_class")
        if junit is None or kind is None:
            return
        for element in junit.node_reporter(report).nodes:
            if element.tag in ("failure", "error", "skipped"):
                element.set("type", str(kind))
