"""Files of questions with exact answers."""

from __future__ import annotations

from pathlib import Path

from harness.spec.demands import QuestionsDocument
from harness.spec.image_checks import check_image, check_unseen
from harness.spec.typecheck import check_types
from harness.spec.walk import pictures_in, sections_of
from harness.spec.yaml_source import Place, YamlSource, parse_shared
from harness.words import words_of


def read_questions(path: Path, calibrated: dict[str, Place]) -> YamlSource:
    """Parse and check a file of questions.

    Args:
        path: an existing file.
        calibrated: pictures to calibrate with, which no question may show.

    Returns: the source with every mistake in its `problems`.
    """
    try:
        source = parse_shared(path, path.read_bytes())
    except OSError as err:
        source = YamlSource(path)
        source.report((), f"it cannot be read: {err.strerror}")
        return source
    if isinstance(source.data, dict):
        for at, question in sections_of(source, "questions"):
            _check_answer(source, (*at, "answer"), question.get("answer"))
            for image_path, image in pictures_in(at, question):
                check_image(source, image_path, image)
                check_unseen(source, image_path, image, calibrated)
    if source.data is not None:
        source.document = check_types(source, QuestionsDocument)
    return source


def _check_answer(source: YamlSource, path: tuple[str | int, ...], answer: object) -> None:
    if isinstance(answer, str) and answer and not words_of(answer):
        source.report(path, f'"{answer}" has neither letter nor digit')
