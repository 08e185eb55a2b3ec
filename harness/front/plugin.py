"""What pytest loads first: a look at the configuration, then the plugin itself.

Two modules, so that a pytest that has to be started once more has not loaded much.
"""

from __future__ import annotations

import pytest

from harness.front.rootdir import restart_if_misled

pytest_plugins = ["harness.front.hooks"]  # pytest loads them after it has called the below


def pytest_addoption(pluginmanager: pytest.PytestPluginManager) -> None:
    config = pluginmanager.get_plugin("pytestconfig")
    if isinstance(config, pytest.Config):
        restart_if_misled(config)
