"""Every command of the README works; those that install are what CI itself runs."""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.bundle import Bundle
from harness.device import Device
from harness.runtime import Runtime
from harness.spec.inherit import read_source
from harness.spec.json_schema import spec_json_schema
from tests.e2e.pages import ROOT, commands_of, copy_checkout, environment, run_command

INSTALLING = ("python3 -m venv", "pip install")
PHONE = "virtual-phone"


COMMANDS = commands_of(ROOT / "README.md")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The copy that the README's commands work in."""
    return copy_checkout(tmp_path_factory.mktemp("readme"))


def test_commands_work_in_the_order_of_the_readme(
    checkout: Path, tiny_bundle: Bundle, runtime: Runtime, phone: Device
) -> None:
    # The commands ask this adb server; without it they would start one that stays.
    server = {"ANDROID_ADB_SERVER_HOST": phone.server.host}
    server |= {"ANDROID_ADB_SERVER_PORT": str(phone.server.port)}
    for command in COMMANDS:
        if command.startswith(INSTALLING) or PHONE in command:
            continue
        told = command.replace("SERIAL", "virtual").replace("RUNTIME", str(runtime.dir))
        run_command(told, checkout, **server)


def test_virtual_phone_by_hand_listens_until_it_is_stopped(checkout: Path) -> None:
    (command,) = [command for command in COMMANDS if PHONE in command]
    phone = subprocess.Popen(
        command.split(),
        cwd=checkout,
        env=environment(checkout),
        stdout=subprocess.PIPE,
        text=True,
    )
    with phone:
        # A phone that says nothing must not hold the tests up.
        watchdog = threading.Timer(60, phone.kill)
        watchdog.start()
        assert phone.stdout is not None
        said = [line for line in iter(phone.stdout.readline, "") if _ends_at_ready(line, phone)]
        watchdog.cancel()
    assert said[0].startswith("ready 127.0.0.1:")
    assert phone.returncode == 0


def _ends_at_ready(line: str, phone: subprocess.Popen[str]) -> bool:
    """Whether this is the line that says it listens; stops the phone if so."""
    ready = line.startswith("ready")
    if ready:
        phone.terminate()
    return ready


def test_installing_commands_are_those_of_ci() -> None:
    installing = [command for command in COMMANDS if command.startswith(INSTALLING)]
    demo, everything, by_hand = installing
    assert everything in (ROOT / ".ci" / "run").read_text()
    assert demo == f"{everything} -e demo"
    assert by_hand == "pip install -e '.[compile]'"
    assert "<!--" not in (ROOT / "README.md").read_text()
    tox = (ROOT / "tox.ini").read_text()
    assert "[testenv:demo]" in tox
    assert "extras = compile" in tox


def test_spec_of_the_readme_has_the_keys_of_a_spec() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    shown = yaml.safe_load(text)
    real = read_source(ROOT / "specs" / "smolvlm_500m_instruct.yaml").data
    assert set(real) - {"extends"} <= set(shown)
    jsonschema.validate(shown, spec_json_schema())
