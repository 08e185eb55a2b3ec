"""The one error of this package: a checkpoint or prompt that cannot be exported."""

from __future__ import annotations


class ModelError(ValueError):
    """A checkpoint, prompt or length that these modules do not serve.

    Args:
        problem: what is wrong, with the value.
        expected: what would be served instead.
    """

    def __init__(self, problem: str, expected: str | None = None) -> None:
        self.problem = problem
        self.expected = expected
        super().__init__(problem if expected is None else f"{problem}; expected {expected}")
