"""Which chat template a student is trained and saved with: one that leaves the reasoning where it is.

Stock templates may cut the think block out of a response: right for the earlier turns of a chat, fatal for the turn
that is trained. A template will do if the rendered prompt is the beginning of the rendered conversation, and if all
of the reasoning and the answer stand in the rest. Where a template has a field of its own for the reasoning, as
gpt-oss has a channel for it, the reasoning goes there: that is where the student thinks.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import GenerationConfig, PreTrainedTokenizerBase
from trl import chat_template_utils

from pipelines.chains import OPEN, split
from pipelines.records import digest

Messages = Sequence[Mapping[str, str]]

_KNOWN = "_chat_template"
_GENERATION = re.compile(r"(\{%[-+]?\s*)(end)?generation(?=\s*[-+]?%\})")


class Refused(Exception):
    """Training would go wrong: one line for a person, with what to do about it."""


@dataclass(frozen=True, slots=True)
class Template:
    text: str
    name: str
    why: str
    field: bool = False
    """Whether it takes the reasoning in a field of its own instead of inside the content."""

    @property
    def digest(self) -> str:
        return digest(self.text)


def choose(tokenizer: PreTrainedTokenizerBase, named: str | None, conversations: Sequence[Messages]) -> Template:
    """The template that the recipe names, else the student's own where it will do, else TRL's for the student.

    The student's own comes before TRL's because training, evaluation and serving then render every prompt alike,
    whatever they load; the others must at least render these prompts as the student's own does.
    """
    if named is not None:
        template, fault = _fitted(tokenizer, _named(named), conversations)
        if fault:
            raise Refused(f"train.template {named}: {fault}; give another one")
        return template
    if not tokenizer.chat_template:
        raise Refused("the student has no chat template: give train.template, one of TRL's by name or a file")
    own = Template(portable(tokenizer.get_chat_template()), "the student's own", "it keeps the reasoning")
    template, fault = _fitted(tokenizer, own, conversations)
    if fault is None:
        return template
    if text := _training_template(tokenizer):
        trls = Template(portable(text), "TRL's training template for the student", f"of its own, {fault}")
        template, another = _fitted(tokenizer, trls, conversations, like=own)
        if another is None:
            return template
    raise Refused(f"the student's chat template will not do: {fault}; give train.template, one of TRL's or a file")


def render(
    tokenizer: PreTrainedTokenizerBase, template: Template, conversations: Sequence[Messages]
) -> list[tuple[str, str]]:
    """Of each conversation the prompt as it is given to the model, and the whole with the response."""

    def texts(parts: list[list[dict[str, str]]], opened: bool) -> list[str]:
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": opened}
        rendered: Any = tokenizer.apply_chat_template(parts, chat_template=template.text, **options)
        return list(rendered)

    wholes = [[*map(dict, messages[:-1]), _response(messages[-1], template.field)] for messages in conversations]
    try:
        prompts = texts([messages[:-1] for messages in wholes], opened=True)
        return list(zip(prompts, texts(wholes, opened=False), strict=True))
    except TemplateError as error:
        raise Refused(f"the chat template cannot render these messages ({error}): give train.template") from None


def _response(message: Mapping[str, str], field: bool) -> dict[str, str]:
    if not field:
        return dict(message)
    chain = split(message["content"])
    if chain.reasoning is None or chain.defects:
        return dict(message)
    # transformers offers it to the template under each of the names that models have for it
    return {"role": message["role"], "content": chain.answer, "reasoning_content": chain.reasoning}


def stop_tokens(student: str, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The tokens at which the student ends its turn, wherever it is served."""
    try:
        known = GenerationConfig.from_pretrained(student).eos_token_id
    except OSError:
        known = None
    ids = [*(known if isinstance(known, list) else [known]), tokenizer.eos_token_id]
    return frozenset(token for token in ids if isinstance(token, int))


def opens_think(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether the tokenizer's template ends a prompt inside the think block, so that no response holds the opening
    tag."""
    asked = [{"role": "user", "content": "?"}]
    prompt: Any = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    return str(prompt).rstrip().endswith(OPEN)


def missing(response: str, text: str) -> str | None:
    """Which part of a response is not in `text`; white space and ways to write a character do not count."""
    chain, text = split(response), _bare(text)
    if chain.reasoning and _bare(chain.reasoning) not in text:
        return "reasoning"
    return None if _bare(chain.answer) in text else "answer"


def portable(template: str) -> str:
    """The same template without `{% generation %}`, a tag that only transformers knows: TGI would not start with it.

    An `if true` in its place keeps the white space around it as it was.
    """
    return _GENERATION.sub(lambda tag: f"{tag[1]}{'endif' if tag[2] else 'if true'}", template)


def _training_template(tokenizer: PreTrainedTokenizerBase) -> str | None:
    try:
        return chat_template_utils.get_training_chat_template(tokenizer)
    except ValueError:  # what TRL says where it has none
        return None


def _fitted(
    tokenizer: PreTrainedTokenizerBase,
    template: Template,
    conversations: Sequence[Messages],
    like: Template | None = None,
) -> tuple[Template, str | None]:
    """The template, with the reasoning in its own field where it has one, and what is wrong with it."""
    apart = replace(template, field=True)
    if _fault(tokenizer, apart, conversations, like) is None:
        return apart, None
    return template, _fault(tokenizer, template, conversations, like)


def _fault(
    tokenizer: PreTrainedTokenizerBase, template: Template, conversations: Sequence[Messages], like: Template | None
) -> str | None:
    try:
        rendered = render(tokenizer, template, conversations)
        known = render(tokenizer, like, conversations) if like else rendered
    except Refused as refused:
        return str(refused)
    for messages, (prompt, whole), (stock, _) in zip(conversations, rendered, known, strict=True):
        if part := missing(messages[-1]["content"], whole.removeprefix(prompt)):
            return f"it removes the {part} from the response"
        if not whole.startswith(prompt):
            return "it renders the prompt alone differently from the prompt with the response"
        if prompt != stock:
            return "it renders the prompt differently from the student's own"
    return None


def _named(name: str) -> Template:
    if Path(name).is_file():
        return Template(portable(Path(name).read_text("utf-8")), Path(name).name, "a file, named in the recipe")
    for variable in (f"{name}_training{_KNOWN}", f"{name}{_KNOWN}"):
        if text := getattr(chat_template_utils, variable, None):
            return Template(portable(text), f"trl's {variable}", "named in the recipe")
    names = sorted({n.removesuffix(_KNOWN).removesuffix("_training") for n in dir(chat_template_utils) if _KNOWN in n})
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names
    raise Refused(f"train.template {name} is neither a file nor a template of TRL's; there are: {', '.join(near)}")


def _bare(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).split())
