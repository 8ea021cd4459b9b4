"""What models are told: one text file for each instruction and version.

A file is a conversation. A line `[system]`, `[user]` or `[assistant]` begins a message; `$name` is replaced. A last
`[assistant]` message is an opening that the model has to continue. `NAME.LANGUAGE.txt` is preferred to `NAME.txt`,
so that an instruction can be written in the language it is about.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

from pipelines.errors import RecipeError
from pipelines.records import Message, Role, digest

FOLDER = Path(__file__).parent
_TURN = re.compile(r"^\[(system|user|assistant)\]\n", re.MULTILINE)

NAMES = {
    "am": "Amharic", "ar": "Arabic", "az": "Azerbaijani", "be": "Belarusian", "bg": "Bulgarian", "bn": "Bengali",
    "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek", "en": "English", "es": "Spanish",
    "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French", "ga": "Irish",
    "gl": "Galician", "ha": "Hausa", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "hy": "Armenian", "id": "Indonesian", "is": "Icelandic", "it": "Italian", "ja": "Japanese", "jv": "Javanese",
    "ka": "Georgian", "kk": "Kazakh", "km": "Khmer", "ko": "Korean", "lo": "Lao", "lt": "Lithuanian",
    "lv": "Latvian", "mk": "Macedonian", "mr": "Marathi", "ms": "Malay", "mt": "Maltese", "my": "Burmese",
    "ne": "Nepali", "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "si": "Sinhala", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish",
    "sw": "Swahili", "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish",
    "uk": "Ukrainian", "ur": "Urdu", "uz": "Uzbek", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Instruction:
    """`label` is what stands in rows and cards: the name with its version, and the digest of the very text."""

    label: str
    turns: tuple[Message, ...]

    def messages(self, **values: str) -> tuple[Message, ...]:
        return tuple(Message(role=turn.role, content=Template(turn.content).substitute(values)) for turn in self.turns)


def load(name: str, language: str) -> Instruction:
    """The instruction for a language; RecipeError where there is no such file or it does not make a conversation."""
    for path in (FOLDER / f"{name}.{language}.txt", FOLDER / f"{name}.txt"):
        if path.is_file():
            text = path.read_text("utf-8")
            return Instruction(f"{path.stem}#{digest(text)[:8]}", _turns(text, path))
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.txt")))
    raise RecipeError(f"there is no instruction {name!r} for {language}; there are: {known}")


def language_name(language: str) -> str:
    return NAMES.get(language, language)


def _turns(text: str, path: Path) -> tuple[Message, ...]:
    _, *parts = _TURN.split(text)
    roles: list[Role] = parts[0::2]  # pyright: ignore[reportAssignmentType] - the pattern admits no others
    if "user" not in roles:
        raise RecipeError(f"{path} has no [user] message")
    return tuple(Message(role=role, content=content.strip()) for role, content in zip(roles, parts[1::2], strict=True))
