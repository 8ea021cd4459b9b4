"""How well languages are named on the labelled set, for `pipelines.language` and for any other identifier."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from pipelines.language import LABELS, UND, mask, report
from pipelines.language.segments import ALONE
from tests.languages import MAIN, Chain, Half, contaminated, pure, related, texts

Span = tuple[int, int, str]
"""Start, end, language."""
Namer = Callable[[Chain], Sequence[Span]]
"""The segments of a chain with the language that each is given; `Chain.language` is not looked at."""

SHARES = (0.05, 0.1, 0.2)


def ours(chain: Chain) -> list[Span]:
    return [(segment.start, segment.end, segment.language) for segment in report(chain.text, LABELS).segments]


def by(identify: Callable[[Sequence[str]], Sequence[str]]) -> Namer:
    """Another identifier, given the same segments and none of the maths and code in them."""

    def name(chain: Chain) -> list[Span]:
        spans = [(segment.start, segment.end) for segment in report(chain.text, LABELS).segments]
        masked = mask(chain.text)
        names = identify([" ".join(masked[start:end].split()) for start, end in spans])
        return [(start, end, name) for (start, end), name in zip(spans, names, strict=True)]

    return name


@dataclass(frozen=True, slots=True)
class Named:
    """A segment with letters enough to have a language: what it is in, what it was said to be in, and its chain's."""

    text: str
    language: str
    said: str
    chain: str

    @property
    def right(self) -> bool:
        return self.language == self.said


def named(chains: Iterable[Chain], namer: Namer) -> Iterator[Named]:
    for chain in chains:
        masked = mask(chain.text)
        for start, end, said in namer(chain):
            language = chain.language_at(start, end)
            floor = ALONE["cjk"] if language in ("zh", "ja", "ko") else 4
            if sum(map(str.isalpha, masked[start:end])) >= floor:
                yield Named(chain.text[start:end], language, said, chain.language)


def accuracy(found: Sequence[Named]) -> float:
    return sum(one.right for one in found) / len(found)


@dataclass(frozen=True, slots=True)
class Contamination:
    """Of the segments that were said to be foreign to their chain, and of those that are: how many are both."""

    precision: float
    recall: float


def contamination(found: Sequence[Named]) -> Contamination:
    said = [one for one in found if one.said not in (one.chain, UND)]
    foreign = [one for one in found if one.language != one.chain]
    both = sum(one.language != one.chain for one in said)
    return Contamination(both / max(len(said), 1), both / max(len(foreign), 1))


def single(half: Half, languages: Iterable[str] = LABELS) -> list[Chain]:
    """Every text by itself."""
    return [Chain(text, language) for language in languages for text in texts(language, half)]


def whole(half: Half, languages: Iterable[str] = LABELS, length: int = 1500) -> list[Chain]:
    return [pure(language, half, length, seed) for language in languages for seed in range(3)]


def mixed(half: Half, languages: Iterable[str] = LABELS, length: int = 1500) -> list[Chain]:
    """Chains of each language with 5 to 20 % of English, and of the main ones with each other and the related ones."""
    return [
        contaminated(language, other, half, length, share)
        for language in languages
        for other in sorted({"en"}.union(MAIN if language in MAIN else (), related(language)) - {language})
        for share in SHARES
    ]
