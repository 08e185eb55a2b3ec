from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest
import yaml

from harness.cli import main
from harness.socs import SOC_TABLE_NAME, specs_dir
from harness.spec.explain import effective_values
from harness.spec.json_schema import EDITOR_LINE, SCHEMA_NAME, schema_text, spec_json_schema

WriteSpec = Callable[..., Path]
SPECS = sorted(path for path in specs_dir().glob("*.yaml") if path.name != SOC_TABLE_NAME)


def _origins(path: Path) -> dict[str, str]:
    return {value.yaml_path: Path(value.origin).name for value in effective_values(path)}


def test_effective_values_say_line_and_default(write_spec: WriteSpec) -> None:
    origins = _origins(write_spec())
    assert origins["$.model"] == "tiny.yaml:2"
    assert origins["$.floors[0].target"] == "default"


def test_effective_values_picture_given_as_text_is_where_the_text_is(
    write_spec: WriteSpec,
) -> None:
    assert _origins(write_spec())["$.cases.blue.image.path"].startswith("tiny.yaml:")


def test_effective_values_inherited_come_from_the_family(write_spec: WriteSpec) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    child = family.with_name("child.yaml")
    child.write_text("schema: 1\nextends: family.yml\nmodel: other\nmax_seq_len: 256\n")
    origins = _origins(child)
    assert origins["$.max_seq_len"] == "child.yaml:4"
    assert origins["$.family"] == "family.yml:2"


def test_explain_shows_thresholds_that_hold_and_why_others_do_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["explain", "smolvlm_500m_instruct", "--soc", "SM8650", "--mode", "kv"]) == 0
    told = capsys.readouterr().out
    holds, _, _ = told.partition("do not count here")
    assert "e2e_tokens_per_s >= 50 tok/s (kv, max_seq_len 128, silicon, qnn)" in holds
    assert main(["explain", "smolvlm_500m_instruct", "--soc", "SM8850", "--mode", "kv"]) == 0
    _, _, others = capsys.readouterr().out.partition("do not count here")
    assert "no value for SM8850" in others


def test_committed_schema_is_the_loaders() -> None:
    committed = (specs_dir() / SCHEMA_NAME).read_text()
    assert committed == schema_text(), "python -m harness schema > specs/spec.schema.json"


@pytest.mark.parametrize("path", SPECS, ids=[path.stem for path in SPECS])
def test_schema_accepts_every_spec_whose_first_line_names_it(path: Path) -> None:
    text = path.read_text()
    assert text.startswith(f"{EDITOR_LINE}{SCHEMA_NAME}\n")
    jsonschema.validate(yaml.safe_load(text), spec_json_schema())


BROKEN = {
    "unknown key": ("family: smolvlm", "famly: smolvlm"),
    "unknown SoC": ("sm8650_token_rate", "sm8651_token_rate"),
    "unknown mode": ("[kv, hybrid]", "[kv, hibrid]"),
    "wrong type": ("max_seq_len: 128", "max_seq_len: long"),
    "missing key": ("prefill_ar_len: 32\n", ""),
}


@pytest.mark.parametrize("mistake", BROKEN)
def test_schema_refuses(mistake: str, write_spec: WriteSpec) -> None:
    data = yaml.safe_load(write_spec(BROKEN[mistake]).read_text())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, spec_json_schema())


def test_schema_lets_an_extending_spec_leave_keys_out() -> None:
    child = {"schema": 1, "extends": "family.yml", "cases": {"blue": {"max_new_tokens": 7}}}
    jsonschema.validate(child, spec_json_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"schema": 1, "model": "other"}, spec_json_schema())


def test_schema_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == spec_json_schema()
