from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.device import Deadline, Device
from harness.device.shell import command_line
from harness.errors import CommandFailed, DeadlineExceeded

NASTY = [
    "two words",
    "line\nbreak",
    "'single' \"double\" `back` \\slash",
    "$HOME ${PATH} $(id) ~ * ?",
    "; rm -rf x & | > < #",
    "naïve 😀 \u202e",
    "\t leading and trailing \r",
    "",
    "-n",
    "!history",
    b"\xff\xfe not utf-8".decode("utf-8", "surrogateescape"),
]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
def test_command_line_any_text_reaches_a_real_shell_unchanged(arguments: list[str]) -> None:
    line = command_line(["printf", r"%s\0", "first", *arguments], "/tmp", {"A": "b c"})
    said = subprocess.run(["sh", "-c", line], capture_output=True, check=True).stdout
    assert said.decode().split("\0")[:-1] == ["first", *arguments]


@pytest.mark.parametrize("argv", ["a string", [], ["nul\0"]])
def test_command_line_impossible_argv_is_refused(argv: list[str]) -> None:
    with pytest.raises(ValueError, match=r"argv|NUL"):
        command_line(argv)


def test_command_line_variable_name_with_code_is_refused() -> None:
    with pytest.raises(ValueError, match="A; rm"):
        command_line(["true"], env={"A; rm": "x"})


def test_shell_nasty_arguments_arrive_intact(device: Device) -> None:
    script = 'for x in "$@"; do printf "%s" "$x" | od -An -v -tx1 | tr -d " \\n"; echo; done'
    result = device.shell(["sh", "-c", script, "sh", *NASTY], Deadline(10))
    arrived = [bytes.fromhex(line) for line in result.stdout.split("\n")[:-1]]
    assert arrived == [text.encode("utf-8", "surrogateescape") for text in NASTY]


def test_shell_failing_command_gives_code_and_both_streams(device: Device) -> None:
    result = device.shell(["sh", "-c", "echo out; echo err >&2; exit 42"], Deadline(10))
    assert (result.exit_code, result.stdout, result.stderr) == (42, "out\n", "err\n")
    with pytest.raises(CommandFailed, match=r"exit code 42.*err") as caught:
        result.check("trying", device.serial)
    assert caught.value.serial == device.serial


def test_shell_cwd_and_env_apply(device: Device) -> None:
    argv = ["sh", "-c", 'pwd; printf %s "$GREETING"']
    result = device.shell(argv, Deadline(10), "/data/local/tmp", {"GREETING": "a 'b' $c"})
    assert result.stdout == "/data/local/tmp\na 'b' $c"


def test_shell_missing_cwd_does_not_run_the_command(device: Device) -> None:
    result = device.shell(["echo", "ran"], Deadline(10), "/data/local/tmp/none", {"A": "1"})
    assert result.exit_code != 0
    assert result.stdout == ""


def test_shell_megabytes_of_output_arrive_whole(device: Device) -> None:
    result = device.shell(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x"], Deadline(20))
    assert result.stdout == "x" * 3_000_000


def test_shell_drip_of_output_does_not_stretch_the_deadline(device: Device) -> None:
    drip = "while true; do echo drip; sleep 0.05; done"
    with pytest.raises(DeadlineExceeded) as caught:
        device.shell(["sh", "-c", drip], Deadline(0.5))
    assert caught.value.serial == device.serial
