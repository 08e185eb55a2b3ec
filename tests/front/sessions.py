"""Real pytest sessions of the product, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.device import PrivateServer
from harness.virtual_phone import VirtualPhone

PROJECT_DIR = Path(__file__).resolve().parents[2]
END_S = 120.0
_STRANGE = ("PYTEST_", "ANDROID_", "ADB_", "ADBUTILS_", "VLM_", "CXX")


@dataclass(frozen=True)
class TestOutcome:
    """What JUnit says of one test. `outcome`: passed, failed, error or skipped."""

    __test__ = False

    outcome: str
    message: str
    properties: Mapping[str, str]


@dataclass(frozen=True)
class SessionOutcome:
    """How a session ended. Keys of `tests` are like "test_answer[toy-hybrid-red]"."""

    exit_status: int
    output: str
    tests: Mapping[str, TestOutcome]

    def outcomes(self) -> dict[str, str]:
        return {name: test.outcome for name, test in self.tests.items()}

    def only_error(self) -> str:
        """The one message of a session that ends in an error; told in full exactly once."""
        assert self.exit_status in (1, 70), self.output
        errors = {test.message for test in self.tests.values() if test.outcome == "error"}
        assert len(errors) == 1, self.output
        assert not {"passed", "failed"} & set(self.outcomes().values()), self.output
        (message,) = errors
        body = message.splitlines()[1:]
        assert body, f"no hint and nothing expected: {message}"
        assert self.output.count("\n".join(body)) == 1, self.output
        assert "Traceback" not in self.output
        return message


@dataclass(frozen=True)
class Bench:
    """Phones on a private adb server, and the cache that sessions on it use."""

    server: PrivateServer
    cache_dir: Path
    simulated: VirtualPhone
    silicon: VirtualPhone

    def environ(self, **changes: str) -> dict[str, str]:
        """Environment of a session: nothing of the one that these tests run in."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_STRANGE)}
        return {**kept, "VLM_HARNESS_CACHE": str(self.cache_dir), "COLUMNS": "160", **changes}

    @property
    def adb_args(self) -> list[str]:
        server = self.server.server
        return ["--adb-host", server.host, "--adb-port", str(server.port)]

    def args(self, *phones: VirtualPhone) -> list[str]:
        """Options that choose phones of this bench."""
        serials = [arg for phone in phones for arg in ("--serial", phone.serial)]
        return [*self.adb_args, *serials]

    def run(
        self,
        args: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path = PROJECT_DIR,
        program: Sequence[str] = (sys.executable, "-m", "pytest"),
    ) -> SessionOutcome:
        """One session of tests/device, to its end."""
        junit_path = self.cache_dir / f"junit-{len(list(self.cache_dir.glob('junit-*')))}.xml"
        done = subprocess.run(
            [*program, "-p", "no:cacheprovider", f"--junitxml={junit_path}", *args],
            cwd=cwd,
            env=self.environ(**(environ or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=END_S,
        )
        tests = read_junit(junit_path) if junit_path.exists() else {}
        junit_path.touch()  # takes its number
        return SessionOutcome(done.returncode, done.stdout, tests)

    def command(
        self, *args: str, environ: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`python -m harness ARGS`."""
        return subprocess.run(
            [sys.executable, "-m", "harness", *args],
            cwd=PROJECT_DIR,
            env=self.environ(**(environ or {})),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=END_S,
        )


def read_junit(path: Path) -> dict[str, TestOutcome]:
    """Outcomes by test name."""
    tests = {}
    for element in ET.parse(path).getroot().iter("testcase"):
        outcome, message = "passed", ""
        for child in element:
            if child.tag in ("failure", "error", "skipped"):
                outcome = {"failure": "failed"}.get(child.tag, child.tag)
                message = child.text or child.get("message", "")
        properties = {p.get("name", ""): p.get("value", "") for p in element.iter("property")}
        tests[element.get("name", "")] = TestOutcome(outcome, message, properties)
    return tests


def processes_with(token: str) -> list[str]:
    """Command lines of living processes that have `token` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # ended meanwhile, or another user's
    return found
