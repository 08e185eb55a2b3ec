"""The families that can be trained."""

from __future__ import annotations

from training import internvl, smolvlm
from training.family import TinyFamily

FAMILIES: dict[str, TinyFamily] = {
    family.name: family for family in (smolvlm.FAMILY, internvl.FAMILY)
}
