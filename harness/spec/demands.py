"""What a spec demands of replies, logits, rates and sizes: its keys and their types."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from harness.spec.section import Count, Filled, Images, Positive, Section, SequenceLength, Text
from harness.vocabulary import Backend, Mode, Target

Share = Annotated[float, Field(gt=0, le=1)]
ReplyEnd = Literal["stop_token", "max_new_tokens", "context_full"]


class ExpectSection(Section):
    """What the reply alone must be: words and phrases, patterns, its end and its length."""

    all_of: tuple[Text, ...] = ()
    any_of: tuple[Text, ...] = ()
    none_of: tuple[Text, ...] = ()
    matches_all: tuple[Text, ...] = ()
    matches_any: tuple[Text, ...] = ()
    matches_none: tuple[Text, ...] = ()
    stop_reasons: Filled[ReplyEnd] | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    max_tokens: Count | None = None
    allow_repetition: bool = False


class AgreementSection(Section):
    """Token agreement of each case's reply with the float model's greedy one."""

    min_share: Share = 1.0
    tie_margin: Annotated[float, Field(ge=0)] = 0.0


class LogitsSection(Section):
    """Distance of the logits from the float model's, at the worst position of each case."""

    min_sqnr_db: float | None = None
    min_cosine: Annotated[float, Field(ge=-1, le=1)] | None = None
    max_kl_nats: Annotated[float, Field(ge=0)] | None = None


class PerplexitySection(Section):
    """Perplexity of a text under teacher forcing, relative to the float model's."""

    text: Text
    max_ratio: Annotated[float, Field(ge=1)]


class QuestionsSection(Section):
    """A file of questions with exact answers, and the rate that must be right."""

    path: Text
    min_exact_rate: Share
    confidence: Annotated[float, Field(gt=0, lt=1)] = 0.95
    max_new_tokens: Count = 16


class AccuracySection(Section):
    """What is demanded of the model as a whole, beside its cases."""

    agreement: AgreementSection | None = None
    logits: LogitsSection | None = None
    perplexity: PerplexitySection | None = None
    questions: QuestionsSection | None = None


class QuestionSection(Section):
    """One question; the reply must hold the words of the answer and no others."""

    image: Images
    prompt: Text
    answer: Text


class QuestionsDocument(Section):
    """A whole file of questions."""

    schema_version: Literal[1] = Field(alias="schema")
    questions: Filled[QuestionSection]


class ConditionsSection(Section):
    """The conditions that a threshold holds for."""

    mode: Mode
    max_seq_len: SequenceLength
    target: Target = "silicon"
    backend: Backend = "qnn"
    note: Text | None = None


class BoundsSection(ConditionsSection):
    """Bounds of one metric: besides these keys one per SoC, such as `sm8650_token_rate`.

    `per_serial` holds the bounds of single phones, which go before their SoC's.
    """

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Positive]

    per_serial: dict[Text, Positive] = Field(default_factory=dict)


class FloorSection(BoundsSection):
    """Lower bounds of a rate."""

    metric: Text


class CeilingSection(BoundsSection):
    """Upper bounds of a metric, or of sizes."""

    metric: Text | None = None
    vision_encoder_pte_size_bytes: Count | None = None
    tok_embedding_pte_size_bytes: Count | None = None
    text_decoder_pte_size_bytes: Count | None = None


class MeasurementSection(Section):
    """How rates are measured, and what the phone must be like before each repeat."""

    fixed_tokens: Annotated[int, Field(gt=1)] = 64
    warmup: Annotated[int, Field(ge=0)] = 1
    most_repeats: Annotated[int, Field(ge=5, le=20)] = 20
    cool_down_s: Annotated[float, Field(ge=0)] = 45.0
    budget_s: Positive = 3600.0
    fit_wait_s: Annotated[float, Field(ge=0)] = 600.0
    max_skin_c: float = 38.0
    max_battery_c: float = 40.0
    max_thermal_status: Annotated[int, Field(ge=0, le=6)] = 0
    min_battery_percent: Annotated[int, Field(ge=0, le=100)] = 20
    charging: Literal["any", "yes", "no"] = "any"
    screen: Literal["any", "off"] = "off"
    min_free_memory_mib: Annotated[float, Field(ge=0)] = 512.0
    max_load_per_core: Positive = 1.5
