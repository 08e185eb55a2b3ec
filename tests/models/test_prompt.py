"""Prompts and picture tensors are the stock processor's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from PIL import Image
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from models.checkpoint import Checkpoint
from models.errors import ModelError
from models.prompt import Turn, build_prompt, build_prompts, picture_tiles, turn_texts

QUESTION = "What colour is the circle?"
TOKENS = 7
SIZES = [(64, 64), (90, 33), (20, 71), (300, 210)]


def gradient(width: int, height: int) -> Image.Image:
    """Every pixel differs from its neighbours, so that a crop or a flip shows."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, down, Image.new("L", (width, height), 77)))


def image_side(checkpoint: Checkpoint) -> int:
    size = checkpoint.config.vision_config.image_size
    return int(size if isinstance(size, int) else size[0])


def stock_features(checkpoint: Checkpoint, pictures: Sequence[Image.Image], splitting: bool) -> Any:
    """What the checkpoint's image processor gives, called as its processor calls it."""
    if checkpoint.family.name == "smolvlm":
        options = {"do_image_splitting": splitting, "return_row_col_info": True}
    else:
        options = {"crop_to_patches": splitting}
    return checkpoint.image_processor(images=list(pictures), return_tensors="pt", **options)


def stock_text(checkpoint: Checkpoint, text: str, features: Any) -> str:
    """The string that the stock processor's own code expands a templated text to.

    The processors cannot be constructed without torchvision; their methods can be called on
    an object that has what their constructors would read from the tokenizer.
    """
    tokenizer = checkpoint.tokenizer
    if checkpoint.family.name == "smolvlm":
        processor = object.__new__(SmolVLMProcessor)
        processor.image_seq_len, placeholder = TOKENS, "<image>"
        processor.fake_image_token = tokenizer.fake_image_token
        processor.global_image_token = tokenizer.global_image_token
    else:
        processor = object.__new__(InternVLProcessor)
        processor.image_seq_length, placeholder = TOKENS, "<IMG_CONTEXT>"
        processor.start_image_token = tokenizer.start_image_token
        processor.end_image_token = tokenizer.end_image_token
    processor.image_token = placeholder
    head, *rest = text.split(placeholder)
    for index, piece in enumerate(rest):
        head += processor.replace_image_token(features, index) + piece
    return head


@pytest.mark.parametrize("splitting", [False, True], ids=["whole", "tiles"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_picture_tiles_are_the_stock_processors(
    checkpoint: Checkpoint, size: tuple[int, int], splitting: bool
) -> None:
    picture = gradient(*size)
    stock = stock_features(checkpoint, [picture], splitting)
    expected = stock["pixel_values"]
    pixels, (layout,) = picture_tiles(checkpoint, [picture], splitting)
    assert torch.equal(pixels, expected.reshape(-1, *expected.shape[-3:]))
    assert layout.tiles == len(pixels)
    assert layout.tiles == 1 if not splitting else layout.tiles > 1 or size == (64, 64)
    if "pixel_attention_mask" in stock:
        assert stock["pixel_attention_mask"].all(), "a padded picture would need a mask"
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert not torch.equal(pixels, picture_tiles(checkpoint, [mirrored], splitting)[0])


@pytest.mark.parametrize("splitting", [False, True], ids=["whole", "tiles"])
def test_picture_tiles_of_several_pictures_keep_their_order(
    checkpoint: Checkpoint, splitting: bool
) -> None:
    pictures = [gradient(90, 40), gradient(40, 40).rotate(180)]
    together, layouts = picture_tiles(checkpoint, pictures, splitting)
    alone = [picture_tiles(checkpoint, [picture], splitting) for picture in pictures]
    assert torch.equal(together, torch.cat([pixels for pixels, _ in alone]))
    assert layouts == [layout for _, (layout,) in alone]


def test_picture_tiles_of_palette_picture_are_those_of_its_colours(
    checkpoint: Checkpoint,
) -> None:
    palette = gradient(40, 40).quantize(16)
    assert torch.equal(
        picture_tiles(checkpoint, [palette])[0],
        picture_tiles(checkpoint, [palette.convert("RGB")])[0],
    )


def test_picture_tiles_of_another_size_are_refused(checkpoint: Checkpoint) -> None:
    processor = checkpoint.image_processor
    name = "max_image_size" if checkpoint.family.name == "smolvlm" else "size"
    before = getattr(processor, name)
    side = image_side(checkpoint) + 8
    edges = ("longest_edge",) if name == "max_image_size" else ("height", "width")
    setattr(processor, name, dict.fromkeys(edges, side))
    try:
        with pytest.raises(ModelError, match=rf"shape \(1, 3, {side}, {side}\); expected"):
            picture_tiles(checkpoint, [gradient(64, 64)])
    finally:
        setattr(processor, name, before)


@pytest.mark.parametrize("splitting", [False, True], ids=["whole", "tiles"])
@pytest.mark.parametrize("n_images", [1, 2])
def test_prompt_is_the_stock_processors_expansion(
    checkpoint: Checkpoint, n_images: int, splitting: bool
) -> None:
    pictures = [gradient(300, 90), gradient(50, 50)][:n_images]
    content = [{"type": "image"}] * n_images + [{"type": "text", "text": QUESTION}]
    templated = checkpoint.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    expected = stock_text(checkpoint, templated, stock_features(checkpoint, pictures, splitting))
    prompt = build_prompt(checkpoint, QUESTION, pictures, TOKENS, splitting)
    assert prompt.text == expected
    assert checkpoint.tokenizer.decode(prompt.token_ids) == expected
    assert prompt.token_ids.count(checkpoint.image_token_id) == TOKENS * len(prompt.pixels)


@pytest.mark.parametrize("splitting", [False, True], ids=["whole", "tiles"])
def test_prompts_of_three_turns_are_the_stock_conversation(
    checkpoint: Checkpoint, splitting: bool
) -> None:
    pictures = [gradient(300, 90), gradient(50, 50)]
    turns = [Turn("One?", (pictures[0],)), Turn("Two?"), Turn("Three?", (pictures[1],))]
    prompts = build_prompts(checkpoint, turns, TOKENS, splitting)

    messages: list[dict[str, Any]] = []
    for turn in turns:
        images = [{"type": "image"}] * len(turn.images)
        content = [*images, {"type": "text", "text": turn.question}]
        messages.append({"role": "user", "content": content})
        messages.append({"role": "assistant", "content": [{"type": "text", "text": "Yes."}]})
    templated = checkpoint.tokenizer.apply_chat_template(
        messages[:-1], add_generation_prompt=True, tokenize=False
    )
    whole = stock_text(checkpoint, templated, stock_features(checkpoint, pictures, splitting))
    stop = checkpoint.tokenizer.convert_ids_to_tokens(checkpoint.stop_token_ids[0])
    reply = " Yes." if checkpoint.family.name == "smolvlm" else "Yes."
    assert f"{reply}{stop}".join(prompt.text for prompt in prompts) == whole
    ids = checkpoint.tokenizer(reply + stop, add_special_tokens=False)["input_ids"]
    said = [*prompts[0].token_ids, *ids, *prompts[1].token_ids, *ids, *prompts[2].token_ids]
    bos = checkpoint.tokenizer.bos_token is None
    assert said == checkpoint.tokenizer(whole, add_special_tokens=bos)["input_ids"]


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("{{ messages | length }}", "rewrites earlier turns"),
        ("{% for m in messages %}{{ m['content'][-1]['text'] }};{% endfor %}", "ends a reply"),
    ],
)
def test_turn_texts_template_that_cannot_be_continued_is_refused(
    checkpoint: Checkpoint, spoilt: str, message: str
) -> None:
    odd = dataclasses.replace(checkpoint, chat_template=spoilt)
    with pytest.raises(ModelError, match=message):
        turn_texts(odd, [Turn("One?"), Turn("Two?")])


def test_build_prompt_without_pictures_has_no_image_token(checkpoint: Checkpoint) -> None:
    prompt = build_prompt(checkpoint, QUESTION, [], image_tokens=TOKENS)
    assert prompt.pixels.shape[0] == 0
    assert checkpoint.image_token_id not in prompt.token_ids


def test_build_prompt_question_with_placeholder_is_refused(checkpoint: Checkpoint) -> None:
    placeholder = checkpoint.family.image_token(checkpoint.tokenizer)
    with pytest.raises(ModelError, match=f"2 x {placeholder} in the prompt"):
        build_prompt(checkpoint, f"Is {placeholder} round?", [gradient(64, 64)], TOKENS)
