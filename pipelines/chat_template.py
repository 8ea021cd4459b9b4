"""Which chat template a student is trained and saved with: one that leaves the reasoning where it is.

Stock templates may cut the think block out of a response: right for the earlier turns of a chat, fatal for the turn
that is trained. A template will do if the rendered prompt is the beginning of the rendered conversation, and if all
of the reasoning and the answer stand in the rest.
"""

import difflib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl import chat_template_utils

from pipelines.chains import split

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


def choose(tokenizer: PreTrainedTokenizerBase, named: str | None, conversations: Sequence[Messages]) -> Template:
    """The template that the recipe names, else the student's own where it will do, else TRL's for the student.

    The student's own comes before TRL's because training, evaluation and serving then render every prompt alike,
    whatever they load; the others must at least render these prompts as the student's own does.
    """
    if named is not None:
        template = _named(named)
        if fault := _fault(tokenizer, template.text, conversations):
            raise Refused(f"train.template {named}: {fault}; give another one")
        return template
    if not tokenizer.chat_template:
        raise Refused("the student has no chat template: give train.template, one of TRL's by name or a file")
    own = tokenizer.get_chat_template()
    fault = _fault(tokenizer, own, conversations)
    if fault is None:
        return Template(portable(own), "the student's own", "it keeps the reasoning")
    try:
        training = chat_template_utils.get_training_chat_template(tokenizer)
    except ValueError:
        training = None
    if training is not None and not _fault(tokenizer, training, conversations, like=own):
        return Template(portable(training), "TRL's training template for the student", f"of its own, {fault}")
    raise Refused(f"the student's chat template will not do: {fault}; give train.template, one of TRL's or a file")


def render(tokenizer: PreTrainedTokenizerBase, template: str, messages: Messages) -> tuple[str, str]:
    """The prompt as it is given to the model, and the whole conversation with the response."""

    def text(part: Messages, opened: bool) -> str:
        options: dict[str, Any] = {"tokenize": False, "add_generation_prompt": opened}
        return str(tokenizer.apply_chat_template([dict(m) for m in part], chat_template=template, **options))

    try:
        return text(messages[:-1], opened=True), text(messages, opened=False)
    except TemplateError as error:
        raise Refused(f"the chat template cannot render these messages ({error}): give train.template") from None


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


def _fault(
    tokenizer: PreTrainedTokenizerBase, template: str, conversations: Sequence[Messages], like: str | None = None
) -> str | None:
    for messages in conversations:
        try:
            prompt, whole = render(tokenizer, template, messages)
        except Refused as refused:
            return str(refused)
        if part := missing(messages[-1]["content"], whole.removeprefix(prompt)):
            return f"it removes the {part} from the response"
        if not whole.startswith(prompt):
            return "it renders the prompt alone differently from the prompt with the response"
        if like is not None and prompt != render(tokenizer, like, messages)[0]:
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
