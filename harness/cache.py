"""The folder where the harness keeps what is dear to make: bundles, runners, hashes.

Nothing half-made is ever seen there: a folder is filled under a temporary name beside its
final one and renamed when it is complete. A killed process leaves the temporary folder,
which `sweep_leftovers` removes.

Specs import this module, so what only writers need is imported where it is used.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import InputError

if TYPE_CHECKING:
    from filelock import FileLock

CACHE_VARIABLE = "VLM_HARNESS_CACHE"
_APP_NAME = "vlm-device-harness"
_TEMPORARY_MARK = ".tmp."


def cache_root() -> Path:
    """The cache folder: `VLM_HARNESS_CACHE` if set, else the user's cache. May not exist yet."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_cache_dir(_APP_NAME))


def make_cache_dir(path: Path) -> Path:
    """Create a folder of the cache with its parents; InputError if it cannot be written."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise InputError(
            "preparing the cache",
            f"cannot create {path} ({err.strerror})",
            hint=f"set {CACHE_VARIABLE} to a folder that can be written",
        ) from err
    return path


@contextmanager
def publish_dir(final: Path) -> Iterator[Path]:
    """Give an empty folder to fill; on success it becomes `final` in one step.

    If `final` holds something by then (another process was faster), theirs stays and ours
    is dropped. On an exception ours is dropped and the exception goes on.
    """
    make_cache_dir(final.parent)
    temporary = final.with_name(_temporary_name(final.name))
    try:
        temporary.mkdir()
    except OSError as err:
        raise InputError(
            f"making the folder {final}",
            f"{final.parent} cannot be written ({err.strerror})",
            hint="name a folder that can be written",
        ) from err
    try:
        yield temporary
        try:
            temporary.rename(final)
        except OSError as err:
            # Both mean that `final` is there already; POSIX leaves the choice open.
            if err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
    finally:
        import shutil

        shutil.rmtree(temporary, ignore_errors=True)


def sweep_leftovers(folder: Path) -> tuple[Path, ...]:
    """Remove temporary folders in `folder` whose process is dead; returns what was removed.

    Folders of other hosts are left alone (the cache may lie on a shared disk).
    """
    removed = []
    for path in sorted(folder.glob(f".*{_TEMPORARY_MARK}*")):
        host, pid = _owner_of(path.name)
        if host == _host() and pid is not None and not _is_alive(pid):
            import shutil

            shutil.rmtree(path, ignore_errors=True)
            removed.append(path)
    return tuple(removed)


@contextmanager
def locked(
    path: Path,
    doing: str,
    tell: Callable[[str], None] | None = None,
    check: Callable[[], None] | None = None,
) -> Iterator[None]:
    """Hold the lock file `path`; waits while another process holds it.

    Args:
        path: the lock file, created with its folder. It stays behind, empty.
        doing: what the holder does ("compiling smolvlm_tiny for SM8750").
        tell: called once with a sentence if there is a wait.
        check: called every second of a wait; ends it by raising.
    """
    import filelock

    make_cache_dir(path.parent)
    lock = filelock.FileLock(path)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout:
        if tell is not None:
            tell(f"waiting for another process that is {doing} (lock {path})")
        _wait_for(lock, check)
    try:
        yield
    finally:
        lock.release()


def _wait_for(lock: FileLock, check: Callable[[], None] | None) -> None:
    import filelock

    while True:
        try:
            lock.acquire(timeout=1.0)
        except filelock.Timeout:
            if check is not None:
                check()
        else:
            return


def file_sha256(path: Path) -> str:
    """sha256 of a file's bytes in lower-case hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that a reader sees the old bytes or the new ones, never a part."""
    make_cache_dir(path.parent)
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes it private to this user; a bundle is there to be shared.
        temporary.chmod(0o644)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _temporary_name(name: str) -> str:
    import secrets

    return f".{name}{_TEMPORARY_MARK}{_host()}.{os.getpid()}.{secrets.token_hex(4)}"


def _owner_of(temporary_name: str) -> tuple[str, int | None]:
    """Host digest and process id out of a name that `_temporary_name` made."""
    parts = temporary_name.rpartition(_TEMPORARY_MARK)[2].split(".")
    if len(parts) != 3 or not parts[1].isdecimal():
        return "", None
    return parts[0], int(parts[1])


def _host() -> str:
    import socket

    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
