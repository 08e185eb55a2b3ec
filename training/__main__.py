"""`python -m training --out DIR`: train the small checkpoint and write it to DIR."""

from __future__ import annotations

import argparse
from pathlib import Path

from training.train import Settings, train


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training",
        description="Train the checkpoint smolvlm_tiny from scratch and write it to a folder.",
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of the checkpoint")
    arguments = parser.parse_args()
    train(Settings(), arguments.out, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
