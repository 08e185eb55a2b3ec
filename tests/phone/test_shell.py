"""Commands on a virtual phone, through a real adb."""

from __future__ import annotations

import subprocess

import pytest

from .conftest import ConnectedPhone, wait_until


@pytest.mark.parametrize("code", [0, 7, 255])
def test_shell_exit_code_arrives(shared_phone: ConnectedPhone, code: int) -> None:
    assert shared_phone.shell(f"exit {code}").returncode == code


def test_shell_killed_command_reports_128_plus_signal(shared_phone: ConnectedPhone) -> None:
    assert shared_phone.shell("kill -9 $$").returncode == 137


def test_shell_unknown_command_exits_127(shared_phone: ConnectedPhone) -> None:
    assert shared_phone.shell("no-such-tool").returncode == 127


def test_shell_both_streams_stay_apart(shared_phone: ConnectedPhone) -> None:
    result = shared_phone.shell("echo out; echo err >&2")
    assert (result.stdout, result.stderr) == (b"out\n", b"err\n")


def test_shell_input_arrives_unchanged(shared_phone: ConnectedPhone) -> None:
    data = bytes(range(256)) * 5000
    assert shared_phone.shell("cat", stdin=data).stdout == data


def test_shell_quoted_text_arrives_intact(shared_phone: ConnectedPhone) -> None:
    text = 'it\'s "quoted" $HOME `x` \\ 日本 🙂'
    quoted = "'" + text.replace("'", "'\\''") + "'"
    assert shared_phone.text(f"printf %s {quoted}") == text


def test_shell_output_before_unread_input_is_not_lost(shared_phone: ConnectedPhone) -> None:
    result = shared_phone.shell("seq 1 100000; exec <&-", stdin=b"x" * 2_000_000)
    assert result.stdout.split() == [str(n).encode() for n in range(1, 100_001)]


def test_shell_output_is_streamed(shared_phone: ConnectedPhone) -> None:
    running = shared_phone.adb.start("-s", shared_phone.phone.serial, "shell", "echo a; sleep 60")
    try:
        assert running.stdout is not None
        assert running.stdout.readline() == b"a\n"
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("pwd", "/"),
        ("cd /data/local/tmp && pwd", "/data/local/tmp"),
        ("mkdir -p /sdcard/d; cd '/sdcard/d' && pwd -P", "/sdcard/d"),
        ("touch /data/local/tmp/t; readlink -f /data/local/tmp/t", "/data/local/tmp/t"),
        ('D=/data/local/tmp; echo "$D"', "/data/local/tmp"),
        ("echo /database ./data/x /mnt/data", "/database ./data/x /mnt/data"),
    ],
)
def test_shell_paths_are_the_phones(shared_phone: ConnectedPhone, command: str, shown: str) -> None:
    assert shared_phone.text(command) == shown


def test_shell_links_lead_to_the_phones_files(shared_phone: ConnectedPhone) -> None:
    command = (
        "cd /data/local/tmp && echo stored > kept && mkdir -p run &&"
        " ln -sf /data/local/tmp/kept run/link && cat run/link"
    )
    assert shared_phone.text(command) == "stored"


def test_shell_hard_links_are_denied_as_on_android(shared_phone: ConnectedPhone) -> None:
    result = shared_phone.shell("cd /data/local/tmp && touch hard && ln -f hard other")
    assert result.returncode != 0
    assert b"Permission denied" in result.stderr


def test_shell_environment_is_not_the_hosts(shared_phone: ConnectedPhone) -> None:
    names = {line.partition("=")[0] for line in shared_phone.text("env").splitlines()}
    assert "LD_LIBRARY_PATH" not in names
    assert "VLM_HARNESS_CACHE" not in names
    assert {"PATH", "HOME", "TMPDIR"} <= names


def test_exec_output_is_raw(shared_phone: ConnectedPhone) -> None:
    data = bytes(range(256)) * 3
    assert shared_phone.run("exec-in", "cat > /data/local/tmp/raw", stdin=data).returncode == 0
    # exec-in does not wait for the command.
    wait_until(
        lambda: shared_phone.run("exec-out", "cat /data/local/tmp/raw").stdout == data,
        "the bytes arrive",
    )


def test_shell_interactive_runs_what_is_typed(shared_phone: ConnectedPhone) -> None:
    result = shared_phone.run("shell", stdin=b"echo typed\nexit 5\n")
    assert (result.stdout, result.returncode) == (b"typed\n", 5)


def test_shell_terminal_is_one(shared_phone: ConnectedPhone) -> None:
    result = shared_phone.run("shell", "-tt", "test -t 0 && test -t 1 && echo terminal")
    assert result.stdout == b"terminal\r\n"


def _is_running(phone: ConnectedPhone, mark: str) -> bool:
    # The brackets keep the search from finding itself.
    pattern = f"[{mark[0]}]{mark[1:]}"
    command = f"cat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' ' | grep -q '{pattern}'"
    return phone.shell(command).returncode == 0


def _start_and_close(phone: ConnectedPhone, command: str) -> None:
    """Run a command until it says something, then take its host away."""
    running: subprocess.Popen[bytes] = phone.adb.start("-s", phone.phone.serial, "shell", command)
    assert running.stdout is not None
    running.stdout.readline()
    running.kill()
    running.communicate()


def test_shell_host_gone_hangs_up_the_command(shared_phone: ConnectedPhone) -> None:
    _start_and_close(shared_phone, "echo up; exec sleep 7654")
    wait_until(lambda: not _is_running(shared_phone, "sleep 7654"), "the command ends")


def test_shell_host_gone_leaves_sessions_of_their_own(shared_phone: ConnectedPhone) -> None:
    _start_and_close(
        shared_phone,
        "setsid sleep 8765 </dev/null >/dev/null 2>&1 & echo up; exec sleep 7655",
    )
    wait_until(lambda: not _is_running(shared_phone, "sleep 7655"), "the command ends")
    assert _is_running(shared_phone, "sleep 8765")
