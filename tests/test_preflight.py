"""Before the first step: tokens and labels are the template's, and what would teach the wrong thing is refused."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from lessons import QUESTION, REASONING, rows
from stock_templates import MISTRAL_7B, MISTRAL_SMALL, SMOLLM3
from tiny import CORPUS, make_student
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from trl import chat_template_utils as trl

from pipelines.training import chat_template, preflight
from pipelines.training.chat_template import Refused, Template
from pipelines.training.job import Row
from pipelines.training.preflight import Fed
from pipelines.training.preparation import BATCH, MASKED, Example, Preparation, prepare, table

CHATML = trl.qwen2_5_chat_template
DEEPSEEK = trl.deepseek_r1_distill_chat_template
STRIPPING = CHATML.replace("message.content + '<|im_end|>'", "message.content.split('</think>')[-1] + '<|im_end|>'")


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"), CHATML)


@pytest.fixture
def tokenizer(student: Path) -> PreTrainedTokenizerFast:
    return AutoTokenizer.from_pretrained(student)


def preparation(tokenizer: PreTrainedTokenizerFast, text: str = CHATML) -> Preparation:
    return Preparation(tokenizer, Template(text, "", ""), frozenset({int(tokenizer.eos_token_id)}))


def examples(tokenizer: PreTrainedTokenizerFast, given: Sequence[Row]) -> list[Example]:
    return [example for batch in preparation(tokenizer).batches(given) for example in batch]


def fed(example: Example, labels: Sequence[int] | None = None) -> Fed:
    row, response = example.row, example.row.messages[-1]["content"]
    return Fed(row.id, row.language, response, example.prompt, example.ids, labels or example.labels)


def trained_text(example: Example, tokenizer: PreTrainedTokenizerFast) -> str:
    return str(tokenizer.decode([label for label in example.labels if label != MASKED]))


def conversations(given: Sequence[Row]) -> list:
    return [row.messages for row in given]


# --- tokens and labels


def test_exactly_the_response_and_its_end_are_trained(tokenizer: PreTrainedTokenizerFast) -> None:
    for row, example in zip(rows(), examples(tokenizer, rows()), strict=True):
        assert trained_text(example, tokenizer) == row.messages[-1]["content"] + "<|im_end|>"
        assert preflight.fault(fed(example), tokenizer, frozenset({int(tokenizer.eos_token_id)})) is None


def test_the_tokens_are_those_of_the_template(tokenizer: PreTrainedTokenizerFast) -> None:
    for row, example in zip(rows(), examples(tokenizer, rows()), strict=True):
        assert example.ids == tokenizer.apply_chat_template([dict(m) for m in row.messages])["input_ids"]
        prompt = tokenizer.apply_chat_template([dict(row.messages[0])], add_generation_prompt=True)["input_ids"]
        assert example.ids[: example.prompt] == prompt


def test_a_file_of_several_batches_holds_every_row_in_order_and_cut(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    given = [row for _ in range(BATCH // 8 + 1) for row in rows()]
    source, target = tmp_path / "rows.jsonl", tmp_path / "prepared.arrow"
    source.write_text("".join(row.model_dump_json() + "\n" for row in given), "utf-8")
    made = examples(tokenizer, given)
    limit = sorted(len(example.ids) for example in made)[-3] - 1
    measure = prepare(source, target, preparation(tokenizer), limit)
    read = pa.ipc.open_stream(target).read_all()
    assert read["id"].to_pylist() == [row.id for row in given]
    assert read["input_ids"].to_pylist() == [example.ids[:limit] for example in made]
    assert read["labels"].to_pylist() == [example.labels[:limit] for example in made]
    assert sum(count for _, count in measure.lengths) == measure.languages["ru"].rows == len(given)
    assert measure.languages["ru"].cut == sum(len(example.ids) > limit for example in made) > 0
    assert measure.longest == max(len(example.ids) for example in made)


def test_a_row_that_is_cut_inside_its_prompt_trains_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    batch = table(examples(tokenizer, rows(1)), max_length=3)
    assert batch["labels"].to_pylist() == [[MASKED] * 3]


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda e: [*e.ids[: e.prompt], *e.labels[e.prompt :]], "tokens of the prompt"),
        (lambda e: [MASKED] * (len(e.ids) - 8) + e.ids[-8:], "the reasoning is missing"),
        (lambda e: [MASKED if label == e.labels[-2] else label for label in e.labels], "would never stop"),
    ],
)
def test_spoiled_labels_are_refused(
    tokenizer: PreTrainedTokenizerFast, spoil: Callable[[Example], list[int]], why: str
) -> None:
    example = examples(tokenizer, rows(1))[0]
    with pytest.raises(Refused, match=why):
        preflight.check([fed(example, spoil(example))], tokenizer, frozenset({int(tokenizer.eos_token_id)}))


@pytest.mark.parametrize("before", ["", "<|im_start|>"])
def test_a_prompt_that_merges_with_its_response_is_refused(tokenizer: PreTrainedTokenizerFast, before: str) -> None:
    # the prompt ends in a letter that the response goes on with, and the two become one token
    merging = (
        before + "{{ messages[0].content }}{% if messages | length > 1 %}{{ messages[1].content }}<|im_end|>{% endif %}"
    )
    row = Row(
        id="x",
        language="ru",
        messages=({"role": "user", "content": "Скл"}, {"role": "assistant", "content": "адываем"}),
    )
    with pytest.raises(Refused, match="row x: the tokens of the prompt are not the first"):
        list(preparation(tokenizer, merging).batches([row]))


def test_a_prompt_whose_last_white_space_is_tokenized_differently_alone_is_refused() -> None:
    # three spaces are one token at the end of the prompt, and two and one in front of a digit
    core = Tokenizer(models.WordLevel({"a": 0, "   ": 1, "  ": 2, " ": 3, "1": 4, "<s>": 5, "?": 6}, unk_token="?"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(r"\s+(?!\S)|\s+|\d|\w"), "isolated")
    core.add_special_tokens(["<s>"])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, eos_token="<s>", unk_token="?")
    template = "<s>a   {% if messages | length > 1 %}{{ messages[1].content }}<s>{% endif %}"
    row = Row(id="x", language="ru", messages=({"role": "user", "content": ""}, {"role": "assistant", "content": "1"}))
    assert core.encode("<s>a   1").tokens == ["<s>", "a", "  ", " ", "1"]
    with pytest.raises(Refused, match="row x: the tokens of the prompt are not the first"):
        list(preparation(tokenizer, template).batches([row]))


# --- the choice of a template


def test_the_students_own_template_is_kept_where_it_keeps_the_reasoning(tokenizer: PreTrainedTokenizerFast) -> None:
    assert chat_template.choose(tokenizer, None, conversations(rows())).text == CHATML


def test_a_template_that_strips_the_reasoning_is_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    assert STRIPPING != CHATML
    tokenizer.chat_template = STRIPPING
    with pytest.raises(Refused, match=r"removes the reasoning from the response; give train\.template"):
        chat_template.choose(tokenizer, None, conversations(rows()))
    assert "qwen2_5_training" in chat_template.choose(tokenizer, "qwen2_5", conversations(rows())).name


def test_an_unknown_template_is_refused_with_its_neighbours(tokenizer: PreTrainedTokenizerFast) -> None:
    with pytest.raises(Refused, match=r"qwen_2_5 is neither .* qwen2_5"):
        chat_template.choose(tokenizer, "qwen_2_5", conversations(rows()))


def training_templates() -> Iterator[str]:
    for name in dir(trl):
        if name.endswith("_training_chat_template") and not name.startswith("get_"):
            yield name


@pytest.mark.parametrize("name", list(training_templates()))
def test_a_portable_template_renders_the_same(tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    text = getattr(trl, name)
    portable = chat_template.portable(text)
    assert not re.search(r"\{%[-+]?\s*(end)?generation", portable)
    try:
        rendered = chat_template.render(tokenizer, Template(text, "", ""), conversations(rows(1)))
    except Refused:
        pytest.skip("it needs messages of another kind")
    assert chat_template.render(tokenizer, Template(portable, "", ""), conversations(rows(1))) == rendered


# --- the stock templates of the families that people train


@dataclass(frozen=True)
class Family:
    template: str
    tokens: tuple[str, ...]
    """Added tokens: the beginning of a text, the end that the tokenizer names, and those of the template."""
    end: str
    """The token that ends a turn, by the model's generation config."""
    pieces: bool = False
    """Whether its words are pieces that begin with a mark for the space before them, or bytes."""
    swapped: bool = False
    """Whether the stock template removes the reasoning, so that TRL's has to take its place."""

    def tokenizer(self) -> PreTrainedTokenizerFast:
        core = Tokenizer(models.BPE(byte_fallback=self.pieces))
        if self.pieces:
            core.normalizer = normalizers.Replace(" ", "▁")
            core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
        else:
            core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
            core.decoder = decoders.ByteLevel()
        alphabet = [f"<0x{byte:02X}>" for byte in range(256)] if self.pieces else pre_tokenizers.ByteLevel.alphabet()
        special = [*self.tokens, *(alphabet if self.pieces else [])]
        initial = [] if self.pieces else alphabet
        trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=special, initial_alphabet=initial)
        core.train_from_iterator([*CORPUS, QUESTION, REASONING], trainer)
        made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=self.tokens[0], eos_token=self.tokens[1])
        made.chat_template = self.template
        return made


DISTILL = ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>")
GPT_OSS = ("<|startoftext|>", "<|return|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>")
FAMILIES = {
    "DeepSeek-R1-Distill-Qwen": Family(DEEPSEEK, DISTILL, DISTILL[1], swapped=True),
    "DeepSeek-R1-Distill-Llama": Family(DEEPSEEK, DISTILL[:4], DISTILL[1], swapped=True),
    "Qwen3": Family(
        trl.qwen3_chat_template, ("<|endoftext|>", "<|im_end|>", "<|im_start|>", "<think>", "</think>"), "<|im_end|>"
    ),
    "SmolLM3": Family(SMOLLM3, ("<|begin_of_text|>", "<|im_end|>", "<|im_start|>", "<think>"), "<|im_end|>"),
    "gpt-oss": Family(trl.gptoss_chat_template, GPT_OSS, "<|return|>"),
    "Gemma 3": Family(
        trl.gemma3_chat_template, ("<bos>", "<eos>", "<start_of_turn>", "<end_of_turn>"), "<end_of_turn>", pieces=True
    ),
    "Mistral 7B": Family(MISTRAL_7B, ("<s>", "</s>", "[INST]", "[/INST]"), "</s>", pieces=True),
    "Mistral Small": Family(
        MISTRAL_SMALL, ("<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"), "</s>"
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_stock_template_of_a_family_trains_the_whole_response_behind_its_own_prompt(name: str) -> None:
    family = FAMILIES[name]
    tokenizer = family.tokenizer()
    stops = frozenset({int(tokenizer.convert_tokens_to_ids(family.end)), int(tokenizer.eos_token_id)})
    template = chat_template.choose(tokenizer, None, conversations(rows()))
    assert ("removes the reasoning" in template.why) == family.swapped
    (made,) = Preparation(tokenizer, template, stops).batches(rows())
    preflight.check([fed(example) for example in made], tokenizer, stops)
    for row, example in zip(rows(), made, strict=True):
        asked = tokenizer.apply_chat_template([dict(row.messages[0])], add_generation_prompt=True)["input_ids"]
        assert example.ids[: example.prompt] == asked  # by the stock template
        assert example.labels[example.end - 1] == tokenizer.convert_tokens_to_ids(family.end)
        if not family.swapped and not template.field:
            assert example.ids == tokenizer.apply_chat_template([dict(m) for m in row.messages])["input_ids"]


def test_the_reasoning_goes_into_the_channel_that_gpt_oss_has_for_it() -> None:
    tokenizer = FAMILIES["gpt-oss"].tokenizer()
    template = chat_template.choose(tokenizer, None, conversations(rows()))
    (_, whole), *_ = chat_template.render(tokenizer, template, conversations(rows()))
    assert f"<|channel|>analysis<|message|>{REASONING.format(0, 1)}<|end|>" in whole
    assert "<|channel|>final<|message|>Ответ: 1<|return|>" in whole


def test_a_family_whose_prompt_depends_on_the_response_is_refused() -> None:
    tokenizer = FAMILIES["Qwen3"].tokenizer()
    tokenizer.chat_template = "{{ messages | length }}" + trl.qwen3_chat_template
    with pytest.raises(Refused, match="renders the prompt alone differently"):
        chat_template.choose(tokenizer, None, conversations(rows()))
