"""Prompts and picture tensors are the stock processor's own."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from transformers.models.smolvlm.processing_smolvlm import SmolVLMProcessor

from models.checkpoint import Checkpoint
from models.errors import ModelError
from models.prompt import build_prompt, picture_tensors, prompt_text

QUESTION = "What colour is the circle?"


def gradient(width: int, height: int) -> Image.Image:
    """Every pixel differs from its neighbours, so that a crop or a flip shows."""
    across = Image.linear_gradient("L").rotate(90).resize((width, height))
    down = Image.linear_gradient("L").resize((width, height))
    return Image.merge("RGB", (across, down, Image.new("L", (width, height), 77)))


@pytest.mark.parametrize("size", [(64, 64), (90, 33), (20, 71), (300, 210)], ids=str)
def test_picture_tensors_are_the_stock_processors(
    checkpoint: Checkpoint, size: tuple[int, int]
) -> None:
    picture = gradient(*size)
    stock = checkpoint.image_processor(
        images=picture, do_image_splitting=False, return_tensors="pt"
    )
    pixels = picture_tensors(checkpoint, [picture])
    assert torch.equal(pixels, stock["pixel_values"][0])
    assert stock["pixel_attention_mask"].all(), "a padded picture would need a mask"
    mirrored = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert not torch.equal(pixels, picture_tensors(checkpoint, [mirrored]))


def test_picture_tensors_of_several_pictures_keep_their_order(checkpoint: Checkpoint) -> None:
    pictures = [gradient(40, 40), gradient(40, 40).rotate(180)]
    together = picture_tensors(checkpoint, pictures)
    alone = [picture_tensors(checkpoint, [picture]) for picture in pictures]
    assert torch.equal(together, torch.cat(alone))


def test_picture_tensors_of_palette_picture_are_those_of_its_colours(
    checkpoint: Checkpoint,
) -> None:
    palette = gradient(40, 40).quantize(16)
    assert torch.equal(
        picture_tensors(checkpoint, [palette]),
        picture_tensors(checkpoint, [palette.convert("RGB")]),
    )


def test_picture_tensors_tile_of_another_size_is_refused(checkpoint: Checkpoint) -> None:
    before = checkpoint.image_processor.max_image_size
    checkpoint.image_processor.max_image_size = {"longest_edge": 48}
    try:
        with pytest.raises(ModelError, match=r"shape \(1, 3, 48, 48\); expected"):
            picture_tensors(checkpoint, [gradient(64, 64)])
    finally:
        checkpoint.image_processor.max_image_size = before


@pytest.mark.parametrize("n_images", [1, 2])
def test_prompt_text_is_the_stock_processors_expansion(
    checkpoint: Checkpoint, n_images: int
) -> None:
    content = [{"type": "image"}] * n_images + [{"type": "text", "text": QUESTION}]
    template = checkpoint.tokenizer.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False
    )
    rows_and_cols = checkpoint.image_processor(
        images=[gradient(50, 30)] * n_images, do_image_splitting=False, return_row_col_info=True
    )
    # The processor cannot be constructed without torchvision; its method can be called.
    processor = SimpleNamespace(
        image_seq_len=7,
        image_token="<image>",
        fake_image_token="<fake_token_around_image>",
        global_image_token="<global-img>",
    )
    expected = template
    for index in range(n_images):
        expansion = SmolVLMProcessor.replace_image_token(processor, rows_and_cols, index)
        expected = expected.replace("<image>", expansion.replace("<image>", "\0"), 1)
    expected = expected.replace("\0", "<image>")
    assert prompt_text(checkpoint, QUESTION, n_images, image_tokens=7) == expected


def test_build_prompt_ids_decode_to_the_text(checkpoint: Checkpoint) -> None:
    prompt = build_prompt(checkpoint, QUESTION, [gradient(64, 64)], image_tokens=7)
    assert checkpoint.tokenizer.decode(prompt.token_ids) == prompt.text
    assert prompt.token_ids.count(checkpoint.image_token_id) == 7
    assert prompt.text.endswith("Assistant:")


def test_build_prompt_without_pictures_has_no_image_token(checkpoint: Checkpoint) -> None:
    prompt = build_prompt(checkpoint, QUESTION, [], image_tokens=7)
    assert prompt.pixels.shape[0] == 0
    assert checkpoint.image_token_id not in prompt.token_ids


def test_build_prompt_question_with_placeholder_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(ModelError, match="2 x <image> in the prompt"):
        build_prompt(checkpoint, "Is <image> round?", [gradient(64, 64)], image_tokens=7)
