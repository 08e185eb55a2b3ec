"""`python -m training --family NAME --out DIR`: train a small checkpoint and write it to DIR."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.families import FAMILIES
from training.train import Settings, train


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train a small checkpoint from scratch and write it to a folder.",
    )
    parser.add_argument("--family", choices=FAMILIES, default="smolvlm")
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    arguments = parser.parse_args()
    family = FAMILIES[arguments.family]
    train(family, Settings(), arguments.out, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
