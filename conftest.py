"""Loads the harness into pytest."""

pytest_plugins = ["harness.front.plugin"]
