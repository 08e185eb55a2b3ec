"""The table of exit codes and known log lines, on recorded texts."""

from __future__ import annotations

import pytest

from harness.failures import (
    exit_codes,
    explain_exit,
    find_signature,
    hint_for,
    signatures,
)
from tests.failure_logs import LOGS


@pytest.mark.parametrize("name", LOGS)
def test_find_signature_of_a_recorded_log_names_the_cause(name: str) -> None:
    found = find_signature(LOGS[name])
    assert found is not None
    assert found.name == name


def test_every_signature_has_a_recorded_log() -> None:
    assert {known.name for known in signatures()} == set(LOGS)


def test_find_signature_of_a_healthy_log_finds_none() -> None:
    healthy = (
        "[INFO] [Qnn ExecuTorch]: create QNN Logger with log_level 1\n"
        "[WARNING] [Qnn ExecuTorch]: Qnn API version 2.39.0 is used. The version is tested "
        "against 2.37.0.\n"
        "QnnContextCustomProtocol expected magic number: 0x5678abcd but get: 0x2000000\n"
        "[INFO] [Qnn ExecuTorch]: Destroy Qnn context\n"
    )
    assert find_signature(healthy) is None


def test_signatures_end_in_exit_codes_of_the_table() -> None:
    codes = exit_codes()
    assert len({row.code for row in codes.values()}) == len(codes)
    assert len({known.name for known in signatures()}) == len(signatures())
    for known in signatures():
        assert known.exit_code in codes
        assert 1 <= len(known.parts) <= 4


def test_every_failing_exit_code_has_a_hint() -> None:
    assert all(row.hint for row in exit_codes().values() if row.code != 0)


@pytest.mark.parametrize(
    ("exit_code", "log", "expected"),
    [
        (0, "", None),
        (75, "", "a file has another sha256 than the request says (file_changed)"),
        (139, "", "killed by signal 11 (SIGSEGV)"),
        (134, LOGS["no_pd"], "no protection domain"),
        (3, "", None),
    ],
)
def test_explain_exit_takes_the_log_first(exit_code: int, log: str, expected: str | None) -> None:
    found = explain_exit(exit_code, log)
    assert found == expected or (expected is not None and expected in str(found))


def test_hint_for_a_missing_skel_says_what_to_push() -> None:
    assert "Skel.so" in str(hint_for(1, LOGS["transport_4000"]))
    assert hint_for(1, "") is None
