from __future__ import annotations

import argparse
from pathlib import Path

from training.train import Settings, train


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    train(Settings(), arguments.out, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
