"""Where a spec's pictures come from. Finds them; never fetches, never imports a package."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.cache import cache_root, file_sha256
from harness.errors import InputError

# The distribution to install for a package whose name differs from it.
_DISTRIBUTIONS = {"skimage": "scikit-image", "sklearn": "scikit-learn"}


@dataclass(frozen=True)
class ImageSource:
    """One picture: a file, a file that a package ships, or a URL. `sha256` is of its bytes.

    Exactly one of `path`, `package` and `url` is set; `package_path` goes with `package`.
    """

    sha256: str
    path: Path | None = None
    package: str | None = None
    package_path: str | None = None
    url: str | None = None

    def __str__(self) -> str:
        if self.package is not None:
            return f"{self.package}:{self.package_path}"
        return str(self.path or self.url)

    def locate(self) -> Path:
        """The picture's file, its sha256 checked.

        InputError if the package is not installed, the URL was not fetched yet, or the
        file is another one than the spec means.
        """
        doing = f"opening the picture {self}"
        path = self._expected_path()
        if path is None or not path.is_file():
            raise InputError(doing, "it is not on this machine", hint=self._how_to_get())
        found = file_sha256(path)
        if found != self.sha256:
            raise InputError(doing, f"{path} has sha256 {found}", expected=f"sha256 {self.sha256}")
        return path

    def _expected_path(self) -> Path | None:
        if self.path is not None:
            return self.path
        if self.package is not None and self.package_path is not None:
            return package_file(self.package, self.package_path)
        return downloaded_path(self.sha256)

    def _how_to_get(self) -> str | None:
        if self.package is not None:
            return f"pip install {_DISTRIBUTIONS.get(self.package, self.package)}"
        if self.url is not None:
            target = downloaded_path(self.sha256)
            return f"curl --create-dirs --location --output '{target}' '{self.url}'"
        return None


def package_file(package: str, path: str) -> Path | None:
    """A file inside an installed package, found without importing it; None if not installed.

    The file itself may be missing.
    """
    folder = _package_folder(package)
    return None if folder is None else folder / path


@lru_cache
def _package_folder(package: str) -> Path | None:
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if found is None or not found.submodule_search_locations:
        return None
    return Path(found.submodule_search_locations[0])


def beside(folder: Path, path: str) -> Path:
    """A path as a file in that folder means it, absolute.

    Remembered, because to resolve a path asks about every folder on the way.
    """
    return _resolved(path if path.startswith("/") else f"{folder}/{path}")


@lru_cache(maxsize=4096)
def _resolved(path: str) -> Path:
    return Path(path).resolve()


def downloaded_path(sha256: str) -> Path:
    """Where a fetched picture lies."""
    return cache_root() / "pictures" / sha256


def picture_sha256(path: Path) -> str:
    """sha256 of a picture, remembered while the file does not change. Raises OSError."""
    status = path.stat()
    return _remembered_sha256(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=1024)
def _remembered_sha256(path: Path, mtime_ns: int, size_bytes: int) -> str:
    del mtime_ns, size_bytes  # part of the key only
    return file_sha256(path)
