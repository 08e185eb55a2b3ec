from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from harness.cache import cache_root, locked, publish_dir, sweep_leftovers, write_whole
from harness.errors import InputError


def test_cache_root_variable_set_is_that_folder(cache_dir: Path) -> None:
    assert cache_root() == cache_dir


def test_cache_root_variable_empty_is_the_users_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_HARNESS_CACHE", "")
    assert cache_root().name == "vlm-device-harness"


def test_publish_dir_success_moves_everything_into_place(tmp_path: Path) -> None:
    final = tmp_path / "deep" / "bundle"
    with publish_dir(final) as folder:
        (folder / "a").write_text("new")
        assert not final.exists()
    assert (final / "a").read_text() == "new"
    assert list(final.parent.iterdir()) == [final]


def test_publish_dir_exception_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), publish_dir(tmp_path / "bundle") as folder:
        (folder / "a").write_text("half")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_publish_dir_other_process_was_faster_keeps_theirs(tmp_path: Path) -> None:
    final = tmp_path / "bundle"
    with publish_dir(final) as folder:
        (folder / "a").write_text("ours")
        final.mkdir()
        (final / "a").write_text("theirs")
    assert (final / "a").read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [final]


def test_publish_dir_unwritable_cache_names_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as caught, publish_dir(tmp_path / "file" / "bundle"):
        pass
    assert "VLM_HARNESS_CACHE" in str(caught.value.hint)


def test_sweep_leftovers_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    program = (
        "import os, sys, pathlib; from harness.cache import publish_dir\n"
        "with publish_dir(pathlib.Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", program, str(tmp_path / "bundle")]
    assert subprocess.run(command, cwd=root, check=False).returncode == -9
    assert len(list(tmp_path.iterdir())) == 1

    removed = sweep_leftovers(tmp_path)

    assert len(removed) == 1
    assert list(tmp_path.iterdir()) == []


def test_sweep_leftovers_spares_the_living_and_the_finished(tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    with publish_dir(tmp_path / "other") as folder:
        assert sweep_leftovers(tmp_path) == ()
        assert folder.exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "other"]


def test_sweep_leftovers_spares_other_hosts(tmp_path: Path) -> None:
    (tmp_path / ".bundle.tmp.00000000.999999999.abcd").mkdir()
    assert sweep_leftovers(tmp_path) == ()


def test_locked_second_holder_waits_and_says_so(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []
    waiting = threading.Event()

    def second() -> None:
        def tell(sentence: str) -> None:
            told.append(sentence)
            waiting.set()

        with locked(tmp_path / "a.lock", "compiling tiny", tell):
            order.append("second")

    with locked(tmp_path / "a.lock", "compiling tiny"):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(30)
        order.append("first")
    thread.join(30)

    assert order == ["first", "second"]
    assert "compiling tiny" in told[0]


def test_write_whole_replaces_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]
