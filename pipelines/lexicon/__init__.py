"""Letters and words of the languages, as text files: `name: word word ...`, in as many lines as it takes.

`labels`: the languages that can be named; `blocks`: the characters of each script, as ranges; `scripts`: the languages
that are written in each; `alphabets`: the letters of a language beside a-z, or beside those that all Cyrillic, all
Arabic alphabets share; `words`: the commonest words of each language, with those of school maths; `answers`: what words
around an answer mean; `units`: those of time, length and so on, with their sizes; `numerals`: numbers in words;
`counting`: what English words say of numbers. The words beside a number are in Unicode's form NFKC.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def read(name: str) -> dict[str, list[str]]:
    table: dict[str, list[str]] = {}
    for word in (FOLDER / f"{name}.txt").read_text("utf-8").split():
        if word.endswith(":"):
            table[word[:-1]] = []
        else:
            table[next(reversed(table))].append(word)
    return table
