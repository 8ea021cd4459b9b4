"""From run facts to the text of a card: the README.md of every repo that a run writes.

The templates are in hub_cards/, one for each kind of repo. Whatever a template prints is escaped for Markdown unless it
is Markup already, so a value out of a data set, a model or a recipe cannot become markup by being forgotten.
"""

import json
import re
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from math import isnan
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from huggingface_hub import EvalResult
from huggingface_hub.repocard_data import eval_results_to_model_index
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines import examples, instructions, plots, sections, tables
from pipelines.examples import Pair
from pipelines.facts import Facts, Past, known
from pipelines.formats import FORMATS
from pipelines.measures import ALL, TITLES, Difference, Line
from pipelines.run import Run

TEMPLATES = Path(__file__).parent.parent / "hub_cards"
_KINDS = {
    "prompts": "prompts.md",
    "generate": "candidates.md",
    "judge": "judged.md",
    "choose": "conversations.md",
    "reinforce": "rollouts.md",
    "evaluate": "results.md",
}
HUB = "https://huggingface.co"
"""Where clients go that are told nothing."""
_WHOLE = (*FORMATS, "rejected", "failures", "calibration")
"""Configs of all languages together."""
_METRICS = {"joint": "joint", "correct": "accuracy", "think_strict": "language_consistency"}
"""Measures that the metadata of a model has, by what the Hub calls them; only the second has a name there already."""
_SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}


def data_card(run: Run, repo: str, told: Facts, files: Sequence[str], before: str = "") -> str:
    """The card of a data-set repo that holds `files`, written by the stage that `told` is from, in the place of the
    card `before`."""
    configs = _configs(run.recipe.languages, files)
    front = {
        "language": list(run.recipe.languages),
        "license": run.recipe.license,
        "task_categories": ["text-generation"],
        "tags": _tags(run),
        "size_categories": _size(told),
        "configs": configs,
    }
    table = Markup(told.details["table"]) if "table" in told.details else None  # noqa: S704 - tables.markdown escapes
    names = [config["config_name"] for config in configs]
    values = {"repo": repo, "told": told, "configs": names, "table": table, "plots": _plots(files)}
    return _card(front, before, _KINDS[told.stage], run, **values)


def model_card(
    run: Run,
    facts: Facts,
    results: Sequence[Line] = (),
    differences: Sequence[Difference] = (),
    shown: Sequence[Pair] = (),
    before: str = "",
    files: Iterable[str] = (),
    merge: Facts | None = None,
) -> str:
    """The card of the trained or of the reinforced model, in the place of the card `before`: `facts` are those of its
    training; results, and the chains that are `shown`, are there once it was evaluated, and `files` are the plots
    beside it. With `merge`, the facts of a merge, it is the card of the merged model."""
    repo, _ = run.written("reinforce" if facts.stage == "reinforce" else "train")
    base = list(dict.fromkeys(read.repo for read in (*facts.models, *facts.inputs) if read.kind == "model"))
    front = {
        "language": list(run.recipe.languages),
        "license": run.recipe.license,
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": base,
        "datasets": [source.repo for source in facts.inputs if source.kind == "dataset"],
        "tags": _tags(run),
        "model-index": _model_index(run, repo, facts, results),
    }
    table = Markup(tables.markdown(results, differences)) if results else None  # noqa: S704 - it escapes
    overview = Markup(tables.overview(results, differences)) if results else None  # noqa: S704 - it escapes
    values = {"repo": repo, "told": facts, "base": base, "table": table, "overview": overview, "shown": shown}
    values |= {"plots": _plots(files), "merge": merge}
    return _card(front, before, "model.md", run, **values)


def _plots(files: Iterable[str]) -> dict[str, Markup]:
    """How the plots among these files are shown, by their short names."""
    shown = {path: Markup(f"![{escaped(told)}]({path})\n\n{escaped(told)}.") for path, told in plots.CAPTIONS.items()}  # noqa: S704 - escaped
    return {Path(path).stem: shown[path] for path in files if path in shown}


def _model_index(run: Run, repo: str, facts: Facts, results: Sequence[Line]) -> list[dict[str, Any]]:
    """The shares of this model in the Hub's own form, each language of a benchmark for itself."""
    kind = "reinforced" if facts.stage == "reinforce" else "trained"
    trained = {way.name for way in run.recipe.evaluate.ways if way.model == kind}
    sources = {it.name: it.source for it in run.recipe.evaluate.benchmarks}
    found = [
        EvalResult(
            task_type="text-generation",
            dataset_type=source.id if source and source.kind == "hub" else line.benchmark,
            dataset_name=f"{line.benchmark}, {line.language}",
            dataset_config=line.language,
            metric_type=kind,
            metric_name=f"{TITLES[measure]}, {line.way}",
            metric_value=round(line.values[measure].mean, 4),
        )
        for line in results
        if line.way in trained and line.language != ALL
        for source in [sources.get(line.benchmark)]
        for measure, kind in _METRICS.items()
        if measure in line.values and not isnan(line.values[measure].mean)
    ]
    return eval_results_to_model_index(repo, found) if found else []


def _card(front: Mapping[str, Any], before: str, template: str, run: Run, **values: object) -> str:
    kept = {key: value for key, value in front.items() if value} | sections.metadata(before)
    matter = yaml.safe_dump(kept, sort_keys=False, allow_unicode=True, width=10_000)
    yours = dict.fromkeys(sections.NAMES, "") | sections.kept(before)
    places = {name: secrets.token_hex(16) for name in yours}  # nothing in a card can be mistaken for one
    text = _templates().get_template(template).render(run=run, recipe=run.recipe, places=places, **values).strip()
    body = re.sub(r"\n{3,}", "\n\n", text)
    for name, place in places.items():
        body = body.replace(place, sections.marked(name, yours[name]))
    return f"---\n{matter}---\n\n{body}\n"


def _configs(languages: Sequence[str], files: Sequence[str]) -> list[dict[str, Any]]:
    """What the Hub's viewer and `load_dataset` offer: a config per language that has rows, and those for what was not
    taken. The first language is what is loaded when none is named."""
    parts = {tuple(file.split("/")[:2]) for file in files if file.endswith(".parquet") and file.count("/") == 2}
    found = {language for folder, language in parts if folder == "data"}
    order = [*(language for language in languages if language in found), *sorted(found.difference(languages))]
    configs = [_config(language, f"data/{language}/*.parquet") for language in order]
    if configs:
        configs[0]["default"] = True
    folders = {folder for folder, _ in parts}
    return configs + [_config(name, f"{name}/*/*.parquet") for name in _WHOLE if name in folders]


def _config(name: str, path: str) -> dict[str, Any]:
    return {"config_name": name, "data_files": [{"split": "train", "path": path}]}


def _size(told: Facts) -> list[str]:
    """The Hub's category for the number of rows. Each language's counts begin with all that there is."""
    if not told.counts:
        return []
    rows = sum(next(iter(steps.values()), 0) for steps in told.counts.values())
    return [next((name for limit, name in _SIZES.items() if rows < limit), "n>10M")]


def _tags(run: Run) -> list[str]:
    return ["thinkin", "reasoning", *(["multilingual"] if len(run.recipe.languages) > 1 else [])]


def steps(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """The columns of a funnel: every step that some language has, in order."""
    return list(dict.fromkeys(step for row in counts.values() for step in row))


def totals(counts: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    return {step: sum(row.get(step, 0) for row in counts.values()) for step in steps(counts)}


def escaped(value: object) -> Markup:
    """What every `{{ }}` of a template goes through."""
    if isinstance(value, Markup):
        return value
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else value
    return Markup(tables.escape(text))  # noqa: S704 - it escapes


def literal(value: object) -> Markup:
    """A value as a string of Python, for a code block: one line that begins with a quote, so it closes no fence."""
    return Markup(json.dumps(str(value)))  # noqa: S704 - quotes and line ends are escaped


def word(value: object) -> Markup:
    """A value as one word of a shell's command line, for a code block."""
    return Markup(shlex.quote(" ".join(str(value).split())))  # noqa: S704 - quoted, and one line


def fenced(value: object) -> Markup:
    """A text of several lines in a code block whose fence is longer than any in it."""
    text = sections.harmless(str(value).encode("utf-8", "replace").decode())
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return Markup(f"{fence}text\n{text}\n{fence}")  # noqa: S704 - nothing is read inside a fence but its end


def link(text: object, *address: str) -> Markup:
    """A link to `address`: an endpoint, and the parts of a path below it."""
    endpoint, *path = address
    url = "/".join([endpoint, *(quote(part, safe="/", errors="replace") for part in path)])
    return Markup(f"[{escaped(text)}]({url})")  # noqa: S704 - escaped, and quoted


def number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def interval(three: Sequence[float | None]) -> str:
    """A value with its 95 % interval. JSON knows no NaN, so in facts that were read a missing one is None."""
    value, low, high = [*three, None, None, None][:3]
    if value is None or isnan(value):
        return "–"
    return f"{value:.2f}" if low is None or high is None or isnan(low) else f"{value:.2f} ({low:.2f} to {high:.2f})"


def behind(told: Facts, stage: str) -> Past | Facts | None:
    """What is known of a stage of the run: of this one itself, or of the one before as it was when it was read."""
    return told if told.stage == stage else next((past for past in reversed(told.history) if past.stage == stage), None)


def spent_on(past: Past | Facts) -> str:
    """What a stage took: of models' tokens, GPUs and money only what there is."""
    usages = [one.usage for one in past.spent]
    requests, tokens = (
        sum(one.requests for one in usages),
        sum(one.prompt_tokens + one.completion_tokens for one in usages),
    )
    hours = known(one.gpu_hours for one in past.spent)
    dollars = known(one.dollars for one in past.spent)
    return ", ".join(
        [
            *([f"{requests:,} requests, {tokens:,} tokens"] if requests else []),
            *([f"{number(hours)} GPU hours"] if hours else []),
            *([money(dollars)] if dollars is not None else []),
            duration(past.seconds),
        ]
    )


def money(dollars: float) -> str:
    return f"US dollars {dollars:,.2f}" if dollars >= 1 or not dollars else f"US dollars {dollars:.4f}"


def moment(text: str) -> str:
    """A time of the facts for a person, as in 2026-11-25 16:05 UTC; as it is where it is none."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError):
        return text


def duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=escaped,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "literal": literal,
        "word": word,
        "fenced": fenced,
        "excerpt": examples.excerpt,
        "number": number,
        "interval": interval,
        "money": money,
        "duration": duration,
        "moment": moment,
    }
    environment.globals |= {
        "link": link,
        "steps": steps,
        "totals": totals,
        "language_name": instructions.language_name,
        "spent_on": spent_on,
        "behind": behind,
        "HUB": HUB,
    }
    return environment
