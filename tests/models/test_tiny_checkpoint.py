"""The committed small checkpoints: their answers, and that they come from the picture."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoTokenizer

from training.batches import PackedPictures, pixels_of
from training.checkpoint import Checkpoint, load_checkpoint
from training.evaluate import accuracy, encode, replies, with_shuffled_pictures
from training.families import FAMILIES
from training.family import IMAGE_TOKENS
from training.pictures import (
    CALIBRATION_SEEDS,
    EVALUATION_SEEDS,
    TRAINING_SEEDS,
    VALIDATION_SEEDS,
)
from training.pictures_for_specs import LIST_NAME, spec_examples
from training.questions import Example, every_sentence, make_example
from training.train import Settings

REPOSITORY = Path(__file__).resolve().parents[2]
CHECKPOINTS_DIR = REPOSITORY / "models" / "checkpoints"
PICTURES_DIR = REPOSITORY / "specs" / "pictures"
FRESH_PICTURES = 500


@dataclass(frozen=True)
class Committed:
    """A checkpoint's family, folder, and what its config and tokenizer must say."""

    family: str
    name: str
    vision_type: str
    text_type: str
    tokenizer_class: str

    @property
    def dir(self) -> Path:
        return CHECKPOINTS_DIR / self.name


COMMITTED = (
    Committed("smolvlm", "smolvlm_tiny", "smolvlm_vision", "llama", "GPT2Tokenizer"),
    Committed("internvl3", "internvl3_tiny", "internvl_vision", "qwen2", "Qwen2Tokenizer"),
)


@pytest.fixture(scope="module", params=COMMITTED, ids=lambda committed: committed.name)
def committed(request: pytest.FixtureRequest) -> Committed:
    found: Committed = request.param
    return found


@pytest.fixture(scope="module")
def checkpoint(committed: Committed) -> Checkpoint:
    return load_checkpoint(FAMILIES[committed.family], committed.dir)


@pytest.fixture(scope="module")
def fresh_examples() -> list[Example]:
    return [make_example(seed) for seed in EVALUATION_SEEDS[:FRESH_PICTURES]]


def test_seed_ranges_are_disjoint() -> None:
    ranges = [TRAINING_SEEDS, VALIDATION_SEEDS, CALIBRATION_SEEDS, EVALUATION_SEEDS]
    for earlier, later in pairwise(ranges):
        assert earlier.stop <= later.start


def test_training_stays_within_its_seeds() -> None:
    settings = Settings()
    assert settings.steps * settings.pictures <= len(TRAINING_SEEDS)


def test_replies_to_fresh_pictures_are_right(
    checkpoint: Checkpoint, fresh_examples: list[Example]
) -> None:
    assert accuracy(checkpoint, fresh_examples) >= 0.98


def test_replies_with_shuffled_pictures_are_wrong(
    checkpoint: Checkpoint, fresh_examples: list[Example]
) -> None:
    assert accuracy(checkpoint, with_shuffled_pictures(fresh_examples)) < 0.60


def test_best_guess_without_picture_is_usually_wrong() -> None:
    answers: dict[str, Counter[str]] = {}
    examples = [make_example(seed) for seed in EVALUATION_SEEDS[:2000]]
    for example in examples:
        answers.setdefault(example.question, Counter())[example.answer] += 1
    guessed = sum(counter.most_common(1)[0][1] for counter in answers.values())
    assert guessed / len(examples) < 0.40


def test_checkpoint_loads_as_the_stock_classes(
    committed: Committed, checkpoint: Checkpoint
) -> None:
    assert type(checkpoint.model) is FAMILIES[committed.family].model_class
    config = checkpoint.model.config
    assert config.vision_config.model_type == committed.vision_type
    assert config.text_config.model_type == committed.text_type
    assert config.text_config.num_key_value_heads < config.text_config.num_attention_heads
    assert json.loads((committed.dir / "tokenizer_config.json").read_text())[
        "tokenizer_class"
    ].startswith(committed.tokenizer_class)


def test_checkpoint_is_about_one_million_parameters_and_four_megabytes(
    committed: Committed, checkpoint: Checkpoint
) -> None:
    parameters = sum(parameter.numel() for parameter in checkpoint.model.parameters())
    assert 500_000 <= parameters <= 1_500_000
    assert (committed.dir / "model.safetensors").stat().st_size <= 4_000_000


def test_every_prompt_fits_in_64_tokens_with_16_of_the_picture(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    image_id = checkpoint.model.config.image_token_id
    assert tokenizer.convert_tokens_to_ids(checkpoint.family.image_token) == image_id
    for question in (text for text in every_sentence() if text.endswith("?")):
        ids = tokenizer(checkpoint.family.prompt_text(tokenizer, question))["input_ids"]
        assert len(ids) <= 64
        assert ids.count(image_id) == IMAGE_TOKENS


def test_every_reply_ends_within_sixteen_tokens_with_the_stop_token(
    checkpoint: Checkpoint,
) -> None:
    stop_id = checkpoint.model.generation_config.eos_token_id
    assert checkpoint.tokenizer.convert_tokens_to_ids(checkpoint.family.end_token) == stop_id
    for answer in (text for text in every_sentence() if text.endswith(".")):
        ids = checkpoint.tokenizer(checkpoint.family.reply_text(answer))["input_ids"]
        assert 4 <= len(ids) <= 16
        assert ids[-1] == stop_id


@pytest.mark.parametrize("text", ["Grüße, 12 Äpfel?", "\t{x}\n", "日本", "naïve 🙂"])
def test_any_text_survives_the_tokenizer(text: str, committed: Committed) -> None:
    tokenizer = AutoTokenizer.from_pretrained(committed.dir)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_training_pixels_equal_the_image_processors(checkpoint: Checkpoint) -> None:
    examples = [make_example(seed) for seed in VALIDATION_SEEDS[:8]]
    batch = encode(checkpoint, examples)
    pixels = np.stack([pixels_of(example.image) for example in examples])
    expected = checkpoint.family.model_pixels(torch.from_numpy(pixels))
    torch.testing.assert_close(batch["pixel_values"], expected, atol=1e-6, rtol=0.0)
    assert "pixel_attention_mask" not in batch or bool((batch["pixel_attention_mask"] == 1).all())


@torch.inference_mode()
def test_packed_questions_compute_the_same_as_each_alone(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    data = PackedPictures(checkpoint.family, tokenizer, batches=1, pictures=2, slots=3)
    layout = data.layout
    pixels, input_ids, _labels, _cells = data[0]
    pictures = checkpoint.family.model_pixels(pixels)
    packed = checkpoint.model(
        input_ids=input_ids,
        attention_mask=layout.attention_mask().expand(2, -1, -1, -1),
        position_ids=layout.position_ids().expand(2, -1),
        pixel_values=pictures,
    ).logits
    prefix = len(layout.prefix_ids)
    for slot in range(3):
        begin = prefix + slot * layout.slot_width
        end = begin + layout.slot_width
        alone_ids = torch.cat([input_ids[:, :prefix], input_ids[:, begin:end]], dim=1)
        alone = checkpoint.model(
            input_ids=alone_ids, pixel_values=checkpoint.family.model_pixels(pixels)
        ).logits
        torch.testing.assert_close(packed[:, begin:end], alone[:, prefix:], atol=1e-3, rtol=1e-3)


def test_packed_slots_hold_the_same_tokens_as_whole_prompts(checkpoint: Checkpoint) -> None:
    tokenizer = checkpoint.tokenizer
    data = PackedPictures(checkpoint.family, tokenizer, batches=1, pictures=1, slots=1)
    _pixels, input_ids, labels, _cells = data[0]
    family = checkpoint.family
    asked = tokenizer.decode(input_ids[0][len(data.layout.prefix_ids) :])
    question = asked[: asked.index("?") + 1]
    answer = tokenizer.decode(labels[0][labels[0] >= 0], skip_special_tokens=True).strip()
    whole = family.prompt_text(tokenizer, question) + family.reply_text(answer)
    ids = tokenizer(whole)["input_ids"]
    assert input_ids[0, : len(ids)].tolist() == ids


def test_spec_pictures_are_what_the_script_draws() -> None:
    listed = json.loads((PICTURES_DIR / LIST_NAME).read_text(encoding="utf-8"))
    drawn = spec_examples()
    assert [entry["file"] for entry in listed] == list(drawn)
    for entry in listed:
        example = drawn[entry["file"]]
        with Image.open(PICTURES_DIR / entry["file"]) as image:
            np.testing.assert_array_equal(np.asarray(image), np.asarray(example.image))
        assert entry["seed"] == example.seed
        assert (entry["question"], entry["answer"]) == (example.question, example.answer)


def test_calibration_asks_every_kind_of_question() -> None:
    drawn = spec_examples()
    calibration = {example.kind for name, example in drawn.items() if name.startswith("calib_")}
    fresh = {make_example(seed).kind for seed in EVALUATION_SEEDS[:200]}
    assert calibration == fresh


def test_spec_pictures_are_answered_right(checkpoint: Checkpoint) -> None:
    examples = list(spec_examples().values())
    assert replies(checkpoint, examples) == [example.answer for example in examples]
