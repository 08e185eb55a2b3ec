"""Real pytest sessions of the product, in processes of their own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.device import PrivateServer
from harness.virtual_phone import VirtualPhone

PROJECT_DIR = Path(__file__).resolve().parents[2]
# With the configuration named, pytest need not be started twice (harness/front/rootdir.py).
PYTEST = (sys.executable, "-m", "pytest", "-c", str(PROJECT_DIR / "pyproject.toml"))
END_S = 120.0
# Of these tests, not of the product; it loads all of Hypothesis at the end of a session.
_WITHOUT = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")
_STRANGE = ("PYTEST_", "ANDROID_", "ADB_", "ADBUTILS_", "VLM_", "CXX")


@dataclass(frozen=True)
class TestOutcome:
    """What JUnit says of one test.

    `outcome`: passed, failed, error or skipped; `kind`: the type of its element, None if passed.
    """

    __test__ = False

    outcome: str
    message: str
    properties: Mapping[str, str]
    kind: str | None


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
class RunningSession:
    """A session that is under way."""

    process: subprocess.Popen[str]
    junit_path: Path

    def finish(self, end_s: float = END_S) -> SessionOutcome:
        """Wait for its end; one that does not end is killed and fails the test."""
        try:
            output, _ = self.process.communicate(timeout=end_s)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            output, _ = self.process.communicate()
            raise AssertionError(f"the session does not end:\n{output}") from None
        tests = read_junit(self.junit_path) if self.junit_path.exists() else {}
        return SessionOutcome(self.process.returncode, output, tests)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        """Wait for something that the session does soon."""
        end = time.monotonic() + END_S
        while not condition():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"{what}: waited in vain\n{self.finish().output}")
            time.sleep(0.05)


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
        if kept.pop("PYTHONDONTWRITEBYTECODE", None):
            # Dozens of processes would each compile every module anew.
            kept["PYTHONPYCACHEPREFIX"] = str(self.cache_dir / "bytecode")
        return {**kept, "VLM_HARNESS_CACHE": str(self.cache_dir), "COLUMNS": "160", **changes}

    def disk(self, name: str, cache_dir: Path | None = None) -> PhoneDisk:
        """The disk of a phone by its label, such as "SM8750-simulated"."""
        root = (cache_dir or self.cache_dir) / "phones" / name / "root"
        return PhoneDisk(root / "data/local/tmp/vlm-device-harness")

    @property
    def adb_args(self) -> list[str]:
        server = self.server.server
        return ["--adb-host", server.host, "--adb-port", str(server.port)]

    def args(self, *phones: VirtualPhone) -> list[str]:
        """Options that choose phones of this bench."""
        serials = [arg for phone in phones for arg in ("--serial", phone.serial)]
        return [*self.adb_args, *serials]

    def start(
        self,
        args: Sequence[str],
        *,
        environ: Mapping[str, str] | None = None,
        cwd: Path = PROJECT_DIR,
        program: Sequence[str] = PYTEST,
    ) -> RunningSession:
        """Start a session of tests/device, in a process group of its own as a terminal would."""
        junit_path = self.cache_dir / f"junit-{secrets.token_hex(4)}.xml"
        process = subprocess.Popen(
            [*program, *_WITHOUT, f"--junitxml={junit_path}", *args],
            cwd=cwd,
            env=self.environ(**(environ or {})),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        return RunningSession(process, junit_path)

    def run(self, args: Sequence[str], *, end_s: float = END_S, **options: Any) -> SessionOutcome:
        """One session, to its end; options as of `start`."""
        return self.start(args, **options).finish(end_s)

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
        outcome, message, kind = "passed", "", None
        name = element.get("name", "")
        for child in element:
            if child.tag in ("failure", "error", "skipped"):
                outcome = "failed" if child.tag == "failure" else child.tag
                message = child.text or child.get("message") or ""
                kind = child.get("type")
        properties = {p.get("name", ""): p.get("value", "") for p in element.iter("property")}
        tests[name] = TestOutcome(outcome, message, properties, kind)
    return tests


@dataclass(frozen=True)
class PhoneDisk:
    """What the harness has left on a phone, seen from this host."""

    data_dir: Path

    def run_folders(self) -> list[Path]:
        return list((self.data_dir / "runs").glob("*"))

    def stored(self) -> list[Path]:
        return list((self.data_dir / "store").glob("*"))

    def runners(self) -> list[int]:
        """Processes that run on the phone in a run folder."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                cwd = str((folder / "cwd").readlink()).removesuffix(" (deleted)")
            except OSError:
                continue  # ended meanwhile, or another user's
            if Path(cwd).is_relative_to(self.data_dir.resolve() / "runs"):
                found.append(int(folder.name))
        return found


def processes_with(token: str) -> list[str]:
    """Command lines of living processes that have `token` in their environment."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if token.encode() in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found
