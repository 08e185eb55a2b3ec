"""The tokenizer: GPT-2 type byte-level BPE with SmolVLM's special tokens and chat template.

The ids follow SmolVLM's order: the specials of the language model first, then bytes and merges,
then the picture tokens, reserved tokens, and `<end_of_utterance>` as the last id. Every byte has
a token, so any text can be tokenised.
"""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Tokenizer
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from training.questions import every_sentence

VOCAB_SIZE = 512
IMAGE_TOKEN = "<image>"
FAKE_TOKEN = "<fake_token_around_image>"
GLOBAL_TOKEN = "<global-img>"
END_TOKEN = "<end_of_utterance>"
BOS_TOKEN = "<|im_start|>"
PAD_TOKEN = "<|im_end|>"
UNK_TOKEN = "<|endoftext|>"

CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{message['role'] | capitalize}}"
    "{% if message['content'][0]['type'] == 'image' %}{{':'}}{% else %}{{': '}}{% endif %}"
    "{% for line in message['content'] %}{% if line['type'] == 'text' %}{{line['text']}}"
    "{% elif line['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)

_LANGUAGE_SPECIALS = [
    UNK_TOKEN,
    BOS_TOKEN,
    PAD_TOKEN,
    "<repo_name>",
    "<reponame>",
    "<file_sep>",
    "<filename>",
    "<gh_stars>",
    "<issue_start>",
    "<issue_comment>",
    "<issue_closed>",
    "<jupyter_start>",
    "<jupyter_text>",
    "<jupyter_code>",
    "<jupyter_output>",
    "<jupyter_script>",
    "<empty_output>",
]
_PICTURE_SPECIALS = [
    GLOBAL_TOKEN,
    *(f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)),
    FAKE_TOKEN,
    IMAGE_TOKEN,
]


def build_tokenizer() -> GPT2Tokenizer:
    """Train the BPE on every sentence of the task; `VOCAB_SIZE` tokens in all."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - len(_PICTURE_SPECIALS) - 1,
        special_tokens=_LANGUAGE_SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(_corpus(), trainer)
    reserved = VOCAB_SIZE - bpe.get_vocab_size() - len(_PICTURE_SPECIALS) - 1
    added = [f"<|reserved_special_token_{i}|>" for i in range(reserved)]
    bpe.add_special_tokens([*_PICTURE_SPECIALS, *added, END_TOKEN])
    tokenizer = GPT2Tokenizer(
        tokenizer_object=bpe,
        bos_token=BOS_TOKEN,
        eos_token=END_TOKEN,
        pad_token=PAD_TOKEN,
        unk_token=UNK_TOKEN,
        additional_special_tokens=[FAKE_TOKEN, IMAGE_TOKEN, END_TOKEN],
        clean_up_tokenization_spaces=False,
        model_max_length=128,
        padding_side="left",
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _corpus() -> list[str]:
    # Replies follow "Assistant:" after a space, questions stand behind the picture without one.
    sentences = every_sentence()
    frame = ["User:", "Assistant:"] * len(sentences)
    return [*frame, *sentences, *(f" {sentence}" for sentence in sentences)]


def prompt_text(tokenizer: GPT2Tokenizer, question: str, image_tokens: int) -> str:
    """The prompt SmolVLMProcessor would make of one picture and one question.

    `image_tokens` is the number of embeddings the vision encoder gives for one picture.
    """
    content = [{"type": "image"}, {"type": "text", "text": question}]
    messages = [{"role": "user", "content": content}]
    text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    picture = get_image_prompt_string(
        0,
        0,
        image_tokens,
        fake_token_around_image=FAKE_TOKEN,
        image_token=IMAGE_TOKEN,
        global_image_token=GLOBAL_TOKEN,
    )
    return str(text).replace(IMAGE_TOKEN, picture, 1)


def reply_text(answer: str) -> str:
    """What the model is to say after the prompt."""
    return f" {answer}{END_TOKEN}"
