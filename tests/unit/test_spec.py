from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, InputError, SpecError
from harness.spec import Conditions, ImageSource, Spec, find_spec, load_spec, load_specs
from harness.spec.document import Document
from harness.spec.yaml_source import parse_yaml

WriteSpec = Callable[..., Path]
RECIPE = {"quantization": "16a8w", "observer": "minmax", "performance_mode": "burst"}


def test_load_spec_valid_file_gives_its_values(spec: Spec) -> None:
    assert (spec.model, spec.family, spec.modes) == ("tiny", "smolvlm", ("kv", "hybrid"))
    assert spec.recipe.of("vision_encoder").as_dict() == RECIPE
    assert spec.recipe.of("text_decoder").as_dict() == {
        **RECIPE,
        "kv_cache_bits": 16,
        "encodings": "shared",
        "num_shards": 1,
    }
    assert spec.cases["blue"].expect.all_of == ("blue",)
    assert spec.checkpoint.path == spec.path.parent / "checkpoint"


def test_load_spec_random_checkpoint_has_folder_and_seed(write_spec: WriteSpec) -> None:
    loaded = load_spec(write_spec(("path: checkpoint", "random: checkpoint, seed: 3")))
    assert loaded.checkpoint.path == loaded.path.parent / "checkpoint"
    assert (loaded.checkpoint.seed, loaded.checkpoint.hub) == (3, None)


def test_load_spec_seed_of_real_weights_is_a_mistake(write_spec: WriteSpec) -> None:
    with pytest.raises(SpecError, match="only random weights have a seed"):
        load_spec(write_spec(("path: checkpoint", "path: checkpoint, seed: 3")))


def test_load_spec_picture_by_path_gets_the_sha256_of_its_file(spec: Spec) -> None:
    assert spec.cases["blue"].images[0].sha256 == hashlib.sha256(b"another picture").hexdigest()


def test_load_spec_several_pictures_are_kept_in_order(write_spec: WriteSpec) -> None:
    (write_spec().parent / "green.png").write_bytes(b"a third picture")
    loaded = load_spec(write_spec(("image: blue.png", "image: [green.png, blue.png]")))
    assert [image.path.name for image in loaded.cases["blue"].images if image.path] == [
        "green.png",
        "blue.png",
    ]


def test_load_spec_case_of_several_turns_is_judged_by_its_last(
    spec: Spec, write_spec: WriteSpec
) -> None:
    (write_spec().parent / "green.png").write_bytes(b"a third picture")
    asked = "turns: [{image: [blue.png, green.png], prompt: Which?}, {prompt: Why?}]"
    loaded = load_spec(
        write_spec(("image: blue.png", asked), ("    prompt: What colour is it?\n", ""))
    )
    case = loaded.cases["blue"]
    assert [(len(turn.images), turn.prompt) for turn in case.turns] == [(2, "Which?"), (0, "Why?")]
    assert (case.prompt, case.images) == ("Why?", ())
    assert [turn.prompt for turn in spec.cases["blue"].turns] == [spec.cases["blue"].prompt]
    assert case.inputs_sha256 != spec.cases["blue"].inputs_sha256


def test_load_spec_image_splitting_changes_the_inputs(spec: Spec, write_spec: WriteSpec) -> None:
    split = load_spec(write_spec(("modes:", "image_splitting: true\nmodes:")))
    assert (spec.image_splitting, split.image_splitting) == (False, True)
    assert split.cases["blue"].inputs_sha256 != spec.cases["blue"].inputs_sha256


def test_spec_is_frozen(spec: Spec) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.model = "other"  # type: ignore[misc]


def test_load_spec_extending_inherits_what_it_does_not_say(write_spec: WriteSpec) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    child = family.with_name("child.yaml")
    child.write_text(
        "schema: 1\nextends: family.yml\nmodel: other\nmax_seq_len: 256\n"
        "cases: {blue: {max_new_tokens: 7}}\n"
    )
    loaded = load_spec(child)
    assert (loaded.model, loaded.family, loaded.max_seq_len) == ("other", "smolvlm", 256)
    assert loaded.cases["blue"].max_new_tokens == 7
    assert loaded.cases["blue"].expect.all_of == ("blue",)
    assert str(loaded.floors[0].place).endswith("family.yml:17")


def test_load_spec_extending_finds_the_familys_files_beside_the_family(
    write_spec: WriteSpec,
) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    child = family.parent / "below" / "child.yaml"
    child.parent.mkdir()
    child.write_text("schema: 1\nextends: ../family.yml\nmodel: other\n")
    loaded = load_spec(child)
    assert loaded.cases["blue"].images[0].path == family.parent / "blue.png"
    assert loaded.checkpoint.path == family.parent / "checkpoint"


def test_load_spec_extending_replaces_a_checkpoint_whole(write_spec: WriteSpec) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    child = family.with_name("child.yaml")
    child.write_text(
        "schema: 1\nextends: family.yml\nmodel: other\ncheckpoint: {hub: a/b, revision: main}\n"
    )
    assert str(load_spec(child).checkpoint) == "a/b@main"


def test_load_spec_sees_a_family_that_changed_in_nothing_but_its_bytes(
    write_spec: WriteSpec,
) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    child = family.with_name("child.yaml")
    child.write_text("schema: 1\nextends: family.yml\nmodel: other\nmodes: [kv]\n")
    assert load_spec(child).max_seq_len == 128
    before = family.stat()
    family.write_text(family.read_text().replace("max_seq_len: 128", "max_seq_len: 256"))
    os.utime(family, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert family.stat().st_size == before.st_size
    assert load_spec(child).max_seq_len == 256


def test_load_spec_of_one_child_leaves_the_family_as_it_was_for_the_next(
    write_spec: WriteSpec,
) -> None:
    family = write_spec(("model: tiny\n", ""), name="family.yml")
    middle = family.with_name("middle.yml")
    middle.write_text("schema: 1\nextends: family.yml\ncases: {blue: {max_new_tokens: 7}}\n")
    child = family.with_name("child.yaml")
    child.write_text("schema: 1\nextends: middle.yml\nmodel: one\n")
    assert load_spec(child).cases["blue"].max_new_tokens == 7
    child.write_text("schema: 1\nextends: family.yml\nmodel: two\n")
    assert load_spec(child).cases["blue"].max_new_tokens == 16
    child.write_text("schema: 1\nextends: middle.yml\nmodel: three\n")
    assert load_spec(child).cases["blue"].max_new_tokens == 7


def test_load_spec_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load_spec(tmp_path / "absent.yaml")


def test_floor_value_for_knows_only_its_socs(spec: Spec) -> None:
    assert spec.floors[0].value_for("SM8650") == 50
    assert spec.floors[0].value_for("SM8850") is None


def test_floor_target_left_out_means_silicon(spec: Spec) -> None:
    assert spec.floors[0].holds_for == Conditions("kv", 128, "silicon")


def test_floor_place_is_its_line(spec: Spec) -> None:
    assert str(spec.floors[0].place).endswith("tiny.yaml:18")


def test_conditions_differences_say_which_and_how() -> None:
    differences = Conditions("kv", 128, "silicon").differences(
        Conditions("hybrid", 128, "simulator")
    )
    assert differences == ("mode is hybrid, not kv", "target is simulator, not silicon")


def test_inputs_sha256_changes_with_the_prompt(spec: Spec, write_spec: WriteSpec) -> None:
    other = load_spec(write_spec(("What colour", "Which colour")))
    assert other.cases["blue"].inputs_sha256 != spec.cases["blue"].inputs_sha256


def test_inputs_sha256_changes_with_the_picture(spec: Spec, write_spec: WriteSpec) -> None:
    path = write_spec()
    (path.parent / "blue.png").write_bytes(b"a repainted picture")
    assert load_spec(path).cases["blue"].inputs_sha256 != spec.cases["blue"].inputs_sha256


def test_inputs_sha256_stays_when_only_the_expectation_changes(
    spec: Spec, write_spec: WriteSpec
) -> None:
    other = load_spec(write_spec(("all_of: [blue]", "all_of: [azure]")))
    assert other.cases["blue"].inputs_sha256 == spec.cases["blue"].inputs_sha256


def test_load_spec_package_that_is_not_installed_is_no_mistake(write_spec: WriteSpec) -> None:
    image = f"{{package: not_installed_here, path: a/b.png, sha256: '{'0' * 64}'}}"
    loaded = load_spec(write_spec(("image: blue.png", f"image: {image}")))
    with pytest.raises(InputError, match="pip install not_installed_here"):
        loaded.cases["blue"].images[0].locate()


def test_locate_url_not_fetched_says_how_to_fetch_it(cache_dir: Path) -> None:
    image = ImageSource("0" * 64, url="https://example.org/a.png")
    with pytest.raises(InputError) as caught:
        image.locate()
    assert str(cache_dir) in str(caught.value.hint)
    assert "https://example.org/a.png" in str(caught.value.hint)


def test_locate_fetched_url_finds_it(cache_dir: Path) -> None:
    sha256 = hashlib.sha256(b"fetched").hexdigest()
    (cache_dir / "pictures").mkdir(parents=True)
    (cache_dir / "pictures" / sha256).write_bytes(b"fetched")
    image = ImageSource(sha256, url="https://example.org/a.png")
    assert image.locate() == cache_dir / "pictures" / sha256


def test_locate_changed_picture_is_refused(spec: Spec) -> None:
    image = spec.cases["blue"].images[0]
    (spec.path.parent / "blue.png").write_bytes(b"changed since")
    with pytest.raises(InputError, match="sha256"):
        image.locate()


def test_load_specs_tells_the_mistakes_of_all_files(write_spec: WriteSpec) -> None:
    write_spec(("16a8w", "16a9w"), name="a.yaml")
    folder = write_spec(("kv_cache_bits: 16", "kv_cache_bits: 5"), name="b.yaml").parent
    with pytest.raises(SpecError) as caught:
        load_specs(folder)
    assert [problem.file.name for problem in caught.value.problems] == ["a.yaml", "b.yaml"]


def test_load_specs_same_model_twice_is_a_mistake(write_spec: WriteSpec) -> None:
    write_spec(name="a.yaml")
    folder = write_spec(name="b.yaml").parent
    with pytest.raises(SpecError, match=r"a\.yaml has the model 'tiny' too"):
        load_specs(folder)


def test_load_specs_missing_folder_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load_specs(tmp_path / "absent")


def test_find_spec_by_model_name_finds_the_repositorys() -> None:
    assert find_spec("smolvlm_500m_instruct").model == "smolvlm_500m_instruct"


def test_find_spec_by_path_reads_that_file(write_spec: WriteSpec) -> None:
    assert find_spec(str(write_spec())).model == "tiny"


def test_find_spec_typo_names_the_nearest_model() -> None:
    with pytest.raises(InputError) as caught:
        find_spec("smolvlm_500m_instrct")
    assert caught.value.hint == "did you mean smolvlm_500m_instruct?"


def test_specs_of_the_repository_are_valid() -> None:
    assert {"smolvlm_tiny", "smolvlm_500m_instruct"} <= set(load_specs())


def test_smolvlm_500m_floor_holds_at_the_context_it_dates_from() -> None:
    floor = find_spec("smolvlm_500m_instruct").floors[0]
    assert floor.holds_for == Conditions("kv", 128, "silicon")
    assert (floor.metric, floor.value_for("SM8650"), floor.value_for("SM8750")) == (
        "e2e_tokens_per_s",
        50,
        55,
    )


def test_parse_yaml_many_aliases_stops_early() -> None:
    levels = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for name, inner in zip("bcdefghi", "abcdefgh", strict=True):
        levels.append(f"{name}: &{name} [{', '.join([f'*{inner}'] * 10)}]")
    source = parse_yaml(Path("bomb.yaml"), "\n".join(levels).encode())
    assert [problem.problem for problem in source.problems] == ["more than 50000 values"]


def test_parse_yaml_very_deep_nesting_is_a_mistake() -> None:
    source = parse_yaml(Path("deep.yaml"), b"- " * 200_000)
    assert [problem.problem for problem in source.problems] == ["nested more than 32 deep"]


SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("kv")
)
KEYS = st.one_of(
    st.sampled_from([*Document.model_json_schema()["properties"], "path", "package", "url"]),
    st.sampled_from(["hub", "image", "prompt", "expect", "all_of", "metric", "mode"]),
    st.sampled_from(["sm8750_token_rate", "text_decoder_pte_size_bytes"]),
    st.text(max_size=5),
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=25,
)


def _load_or_refuse(path: Path) -> None:
    try:
        assert isinstance(load_spec(path), Spec)
    except SpecError as error:
        assert error.problems
        assert str(error)


@settings(max_examples=200, deadline=None)
@given(tree=TREES)
def test_load_spec_random_yaml_gives_a_spec_or_a_spec_error(
    tree: object, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("random") / "a.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    _load_or_refuse(path)


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_load_spec_random_value_anywhere_gives_a_spec_or_a_spec_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = (Path(__file__).with_name("specs_bad") / "mode_twice.yaml").read_text()
    tree = yaml.safe_load(base)
    node = tree
    while True:
        key = data.draw(st.sampled_from(sorted(node)) if isinstance(node, dict) else st.just(0))
        if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
            break
        node = node[key]
    node[key] = data.draw(TREES)
    path = tmp_path_factory.mktemp("random") / "a.yaml"
    path.write_text(yaml.safe_dump(tree, allow_unicode=True), encoding="utf-8")
    _load_or_refuse(path)


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(lambda t: t.encode())))
def test_load_spec_random_bytes_give_a_spec_error(
    text: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("random") / "a.yaml"
    path.write_bytes(text)
    with pytest.raises(HarnessError):
        load_spec(path)
