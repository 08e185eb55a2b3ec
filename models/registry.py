"""The model families that can be exported: a new one is a file and a row here."""

from __future__ import annotations

from models import internvl, smolvlm
from models.errors import ModelError
from models.family import Family

FAMILIES: dict[str, Family] = {family.name: family for family in (smolvlm.FAMILY, internvl.FAMILY)}


def find_family(name: str) -> Family:
    """The family of that name, as specs call it.

    Raises:
        ModelError: there is none.
    """
    if name not in FAMILIES:
        raise ModelError(f"model family {name!r}", f"one of {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
