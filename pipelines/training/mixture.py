"""Which of the chosen chains the student sees, and how often.

A chain is of one of three origins, by what the earlier stages wrote down about it:

    native       it reasons in the language of its question throughout, and the question was written in that language
    translated   it does so, and the question was translated into the language
    mixed        a part of its reasoning is in another language (kept where the recipe's judge.purity is below 1)

How often a row is shown in an epoch is the weight of its language: 2 is twice, 0.5 is every second row. A share of
English chains, against forgetting how to reason in English, is reached by the weight of English that makes it so.
"""

from collections.abc import Iterable, Iterator, Mapping
from math import floor

from pipelines.recipe import Mix
from pipelines.records import Conversation, digest

ENGLISH = "en"


def weights(rows: Mapping[str, int], mix: Mix) -> dict[str, float]:
    """How often a row of each language is shown in an epoch. `rows` counts those of the chosen origins."""
    given = {language: mix.weights.get(language, 1.0) for language in rows}
    if mix.english is None or not rows.get(ENGLISH):
        return given
    others = sum(count * given[language] for language, count in rows.items() if language != ENGLISH)
    return {**given, ENGLISH: others * mix.english / (1 - mix.english) / rows[ENGLISH]}


def copies(ids: Mapping[str, Iterable[str]], mix: Mix, seed: int) -> dict[str, int]:
    """How often each row is shown in an epoch, by its id. Which rows get one more is drawn with `seed`."""
    counted = {language: sorted(group, key=lambda row: digest(seed, row)) for language, group in ids.items()}
    shown: dict[str, int] = {}
    for language, weight in weights({language: len(group) for language, group in counted.items()}, mix).items():
        whole = floor(weight)
        more = round((weight - whole) * len(counted[language]))
        shown.update({row: whole + (place < more) for place, row in enumerate(counted[language])})
    return shown


def ids(rows: Iterable[Conversation], mix: Mix) -> dict[str, list[str]]:
    """The ids of the rows that the recipe wants, by language."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.origin in mix.chains:
            found.setdefault(row.language, []).append(row.id)
    return found


def drawn(rows: Iterable[Conversation], shown: Mapping[str, int]) -> Iterator[Conversation]:
    """Every row as often as it is shown."""
    for row in rows:
        for _ in range(shown.get(row.id, 0)):
            yield row
