"""Rules about pictures: how they are given, and that no case shows one calibrated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.spec.images import beside, package_file, picture_sha256
from harness.spec.walk import calibration_of, case_images_of, images_of, pictures_in
from harness.spec.yaml_source import Place, YamlPath, YamlSource


def check_images(source: YamlSource) -> None:
    """Each picture is given in one of the known ways, is there, and is the one that is meant."""
    for path, image in images_of(source):
        check_image(source, path, image)


def check_image(source: YamlSource, path: YamlPath, image: dict[str, Any]) -> None:
    """One picture of any file: `source` is the one that names it."""
    _check_form(source, path, image)
    file = image_file(source.file, image)
    if file is None:
        return
    if not file.is_file():
        source.report(path, f"there is no file {file}")
        return
    declared = image.get("sha256")
    if isinstance(declared, str) and picture_sha256(file) != declared:
        source.report((*path, "sha256"), f"{file} has sha256 {picture_sha256(file)}", "that file's")


def _check_form(source: YamlSource, path: YamlPath, image: dict[str, Any]) -> None:
    given = frozenset(key for key in ("path", "package", "url", "sha256") if image.get(key))
    forms = ({"path"}, {"path", "sha256"}, {"package", "path", "sha256"}, {"url", "sha256"})
    if given not in forms and not set(image) - {"path", "package", "url", "sha256"}:
        source.report(
            path,
            f"a picture cannot be given by {' and '.join(sorted(given)) or 'nothing'}",
            "path; package, path and sha256; or url and sha256",
        )


def check_leakage(source: YamlSource) -> None:
    """A picture that was calibrated with proves nothing as a case."""
    used = calibrated_pictures(source)
    for path, image in case_images_of(source):
        check_unseen(source, path, image, used)


def calibrated_pictures(source: YamlSource) -> dict[str, Place]:
    """Where each picture to calibrate with is named, by sha256."""
    used: dict[str, Place] = {}
    for path, section in calibration_of(source):
        for at, image in pictures_in(path, section):
            sha256 = image_sha256(source.file, image)
            if sha256 is not None:
                used.setdefault(sha256, source.place_of(at))
    return used


def check_unseen(
    source: YamlSource, path: YamlPath, image: dict[str, Any], used: dict[str, Place]
) -> None:
    """One picture against those of `calibrated_pictures`."""
    place = used.get(image_sha256(source.file, image) or "")
    if place is not None:
        here = place.file == source.place_of(path).file
        where = f"line {place.line}" if here else f"{place.file.name}:{place.line}"
        source.report(
            path,
            f"the same picture is calibrated with, in {where}",
            "a picture that the calibration has not seen",
        )


def image_file(spec_path: Path, image: dict[str, Any]) -> Path | None:
    """The file of a picture, which may be missing; None if it lies elsewhere or nowhere."""
    path, package = image.get("path"), image.get("package")
    if not isinstance(path, str):
        return None
    if isinstance(package, str):
        return package_file(package, path)
    return beside(spec_path.parent, path) if package is None else None


def image_sha256(spec_path: Path, image: dict[str, Any]) -> str | None:
    """The sha256 a picture declares, else its file's; None if there is neither."""
    declared = image.get("sha256")
    if isinstance(declared, str):
        return declared
    file = image_file(spec_path, image)
    try:
        return None if file is None else picture_sha256(file)
    except (OSError, ValueError):  # missing, a folder, or no name that a file can have
        return None
