"""Where a reply parts from the float model's own greedy reply."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A token and its logit at some position. Kept in files: unknown keys are refused."""

    __pydantic_config__ = {"strict": True, "extra": "forbid"}  # noqa: RUF012

    token_id: int
    logit: float


@dataclass(frozen=True)
class Agreement:
    """How far a reply follows its reference.

    `agreed` counts the equal tokens before the first difference; after it nothing can be
    compared, since both models read different texts. `margin` is, at that position, how much
    the float model prefers its token to the reply's (logits, 0 or more), None where the
    replies do not part or the float logits are unknown.
    """

    agreed: int
    length: int  # of the longer of the two
    parts_at: int | None
    margin: float | None

    @property
    def share(self) -> float:
        """Agreed tokens / length, 0 to 1."""
        return self.agreed / self.length if self.length else 1.0


def compare_replies(
    reply: Sequence[int],
    reference: Sequence[int],
    candidates: Sequence[Sequence[Candidate]] = (),
) -> Agreement:
    """The first position in which a reply differs from its reference.

    Args:
        reply: generated ids, the stop token included.
        reference: the float model's.
        candidates: per position of the reference its best candidates, best first. If the
            reply's token is not among them the margin is the one to the last of them, which
            is a lower bound.
    """
    pairs = zip(reply, reference, strict=False)
    agreed = next((index for index, (a, b) in enumerate(pairs) if a != b), None)
    length = max(len(reply), len(reference))
    if agreed is None:
        agreed = min(len(reply), len(reference))
    parts_at = None if agreed == length else agreed
    known = parts_at is not None and parts_at < min(len(candidates), len(reply))
    if not known or parts_at is None:
        return Agreement(agreed, length, parts_at, None)
    best, *others = candidates[parts_at]
    rival = next((c for c in others if c.token_id == reply[parts_at]), (others or [best])[-1])
    return Agreement(agreed, length, parts_at, best.logit - rival.logit)
