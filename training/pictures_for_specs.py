"""Writes the pictures that `specs/` refers to, with a list of what each shows, and questions.

Run `python -m training.pictures_for_specs --out specs/pictures` from the repository root, with
`--questions specs/questions/shapes.yaml` for the questions about the case pictures. The same
command gives the same pixels on every machine.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from training.pictures import CALIBRATION_SEEDS, EVALUATION_SEEDS, draw_picture
from training.questions import Example, ask_several, make_example

LIST_NAME = "pictures.json"
# Offsets into the seed ranges. The calibration pictures come with every kind of question; the case
# pictures lie far behind the seeds that tests measure accuracy on.
_CALIBRATION_OFFSETS = (0, 1, 2, 4, 6, 7, 11, 12)
_CASE_OFFSETS = {
    "red_circle": 1_001_118,
    "star_left": 1_000_051,
    "three_squares": 1_000_276,
    "yellow_triangle": 1_000_098,
}
_QUESTIONS_PER_PICTURE = 3
_LICENSE = "Apache-2.0, drawn by training/pictures_for_specs.py"


def spec_examples() -> dict[str, Example]:
    """File name -> example, calibration pictures first."""
    seeds = {
        f"calib_{index}.png": CALIBRATION_SEEDS[offset]
        for index, offset in enumerate(_CALIBRATION_OFFSETS)
    }
    seeds |= {f"{name}.png": EVALUATION_SEEDS[offset] for name, offset in _CASE_OFFSETS.items()}
    return {name: make_example(seed) for name, seed in seeds.items()}


def write_pictures(out_dir: Path) -> None:
    """Write one PNG per example and `pictures.json` with seed, question, answer and licence."""
    out_dir.mkdir(parents=True, exist_ok=True)
    listed = []
    for name, example in spec_examples().items():
        example.image.save(out_dir / name)
        listed.append(
            {
                "file": name,
                "seed": example.seed,
                "question": example.question,
                "answer": example.answer,
                "license": _LICENSE,
            }
        )
    (out_dir / LIST_NAME).write_text(json.dumps(listed, indent=2) + "\n", encoding="utf-8")


def write_questions(path: Path) -> None:
    """Write a file of questions with exact answers about the case pictures, as specs read it."""
    lines = ["# Written by training/pictures_for_specs.py.", "schema: 1", "questions:"]
    for name, offset in _CASE_OFFSETS.items():
        seed = EVALUATION_SEEDS[offset]
        for question in ask_several(draw_picture(seed), seed, _QUESTIONS_PER_PICTURE):
            lines.append(f"  - image: ../pictures/{name}.png")
            lines.append(f"    prompt: {question.text}")
            lines.append(f"    answer: {question.answer}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m training.pictures_for_specs")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--questions", type=Path)
    args = parser.parse_args()
    write_pictures(args.out)
    if args.questions is not None:
        write_questions(args.questions)


if __name__ == "__main__":
    main()
