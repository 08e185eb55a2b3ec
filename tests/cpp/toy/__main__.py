"""`python -m tests.cpp.toy VARIANT FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cpp.toy.export import write_odd_decoders, write_ptes
from tests.cpp.toy.model import ToyVlm
from tests.cpp.toy.variants import VARIANTS, write_expected


def main(variant: str, folder: Path) -> None:
    toy = ToyVlm(VARIANTS[variant])
    write_ptes(toy, folder)
    write_expected(toy, folder)
    if variant == "float":
        write_odd_decoders(toy, folder)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
