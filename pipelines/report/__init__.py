"""A run as one HTML page that needs nothing else: what it counted, what it measured, and the texts themselves.

    python -m pipelines report RECIPE

All that a page shows out of a repo is text to the template, which escapes it; the page's policy lets no script run but
its own, and nothing be loaded from anywhere.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from pipelines import cards, facts, instructions, measures, plots, reference, tables
from pipelines.errors import StageError
from pipelines.facts import Facts
from pipelines.measures import Difference, Line
from pipelines.records import Conversation, Failure, Result
from pipelines.report import judges
from pipelines.report.cases import Case, asked, chosen
from pipelines.run import Run
from pipelines.tables import Grid

HERE = Path(__file__).parent
FAILURES = 200
"""So many failures are listed, of each stage."""


@dataclass(frozen=True, slots=True)
class Page:
    title: str
    made: str
    repos: Sequence[tuple[str, str, str, Facts]]
    """Stage, repo and its address, and the facts of the run that wrote it."""
    headlines: Sequence[str]
    glance: Grid | None
    """The table that comes first; None where nothing is evaluated."""
    scores: Sequence[tuple[str, str]]
    grids: Sequence[Grid]
    plots: Sequence[tuple[str, str]]
    """Like `scores`: of each the caption, and the picture as an address that holds it."""
    notes: Sequence[str]
    chosen: Sequence[Case]
    asked: Sequence[Case]
    ways: Sequence[str]
    after: str | None
    """The first way of asking the trained model."""


def write(run: Run, path: Path, per_language: int) -> None:
    """`per_language`: of so many prompts and benchmark items of each language the texts are shown."""
    path.write_text(render(collect(run, per_language)), "utf-8")
    run.screen.say(f"the report is {path}: open it in a browser")


def collect(run: Run, per_language: int) -> Page:
    """Whatever is published by now; a StageError where nothing is."""
    repos = list[tuple[str, str, str, Facts]]()
    measured, judged, failed, notes = list[Grid](), list[Grid](), list[Grid](), list[str]()
    headlines, glance, scores = list[str](), None, list[tuple[str, str]]()
    kept, answered = list[Case](), list[Case]()
    for stage in run.recipe.stages:
        repo, kind = run.written(stage)
        snapshot = run.hub.snapshot(repo, kind, stage)
        if snapshot is None or snapshot.facts is None:
            continue
        repos.append((stage, repo, run.hub.address(repo, kind), snapshot.facts))
        if snapshot.facts.failures:
            failed.append(failures(stage, run.hub.rows(snapshot, Failure, "failures")))
        if stage == "judge":
            judged = list(judges.grids(snapshot.facts.details))
            notes += [*([judges.NOTE] if judged else []), *map(_warning, snapshot.facts.details.get("warnings", ()))]
        elif stage == "choose":
            rows = (row for folder in ("data", "rejected") for row in run.hub.rows(snapshot, Conversation, folder))
            kept = chosen(rows, per_language)
        elif stage == "evaluate":
            lines, differences = measures.told(run.hub.rows(snapshot, Result), run.recipe.evaluate.ways)
            measured, told = results(run, lines, differences)
            notes = [*told, *notes]
            headlines, glance = [*tables.headlines(differences), tables.JOINT], tables.at_a_glance(lines)
            scored = snapshot.facts.model_copy(
                update={"details": {"scores": plots.scores(lines, run.recipe.evaluate.ways)}}
            )
            scores = pictures(stage, scored)
            answered = asked(run.hub.rows(snapshot, Result), run.recipe.evaluate.ways, per_language)
    if not repos:
        raise StageError(f"nothing of {run.recipe.name} is published yet: run the recipe first")
    grids = [*measured, *judged, *failed, *(funnel(stage, told) for stage, _, _, told in repos if told.counts)]
    drawn = [plot for stage, _, _, told in repos if stage != "evaluate" for plot in pictures(stage, told)]
    ways = run.recipe.evaluate.ways
    after = next((way.name for way in ways if way.model == "trained"), None)
    names = [way.name for way in ways]
    return Page(
        title=run.recipe.name,
        made=facts.now(),
        repos=repos,
        headlines=headlines,
        glance=glance,
        scores=scores,
        grids=grids,
        plots=drawn,
        notes=notes,
        chosen=kept,
        asked=answered,
        ways=names,
        after=after,
    )


def results(run: Run, lines: Sequence[Line], differences: Sequence[Difference]) -> tuple[list[Grid], list[str]]:
    """The tables of an evaluation, ours beside a reference's at their end, and what is to be said about them."""
    grids, notes = tables.grids(lines, differences), tables.notes(lines, differences, full=True)
    if others := reference.beside(measures.trained(lines, run.recipe.evaluate.ways)):
        grids.append(tables.beside_grid(others, reference.published().model))
        notes.append(tables.BESIDE)
    return grids, notes


def _warning(text: str) -> str:
    return f"Warning: {text}"


def funnel(stage: str, told: Facts) -> Grid:
    columns = cards.steps(told.counts)
    rows = [
        [f"{instructions.language_name(language)} ({language})", *(f"{row.get(step, 0):,}" for step in columns)]
        for language, row in told.counts.items()
    ]
    return Grid(f"{stage}: rows by language", ["language", *columns], rows, names=1)


def failures(stage: str, rows: Iterable[Failure]) -> Grid:
    shown = [[row.language, row.error, row.message, str(row.attempts)] for row, _ in zip(rows, range(FAILURES))]  # noqa: B905
    return Grid(f"{stage}: failed", ["language", "error", "message", "attempts"], shown, names=3)


def pictures(stage: str, told: Facts) -> list[tuple[str, str]]:
    return [
        (f"{stage}: {plots.CAPTIONS[path]}", f"data:image/png;base64,{base64.b64encode(image).decode()}")
        for path, image in plots.files(told).items()
    ]


def render(page: Page) -> str:
    script, style = ((HERE / name).read_text("utf-8").strip() for name in ("page.js", "page.css"))
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html").render(
        page=page,
        language_name=instructions.language_name,
        moment=cards.moment,
        script=Markup(script),  # noqa: S704 - our own file
        style=Markup(style),  # noqa: S704 - our own file
        script_digest=_digest(script),
        style_digest=_digest(style),
    )


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
