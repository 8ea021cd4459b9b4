"""The merged model on the Hub: the branch `merged` of the trained model's repo.

It is a whole model, with the tokenizer and the template of the trained one, and a card and facts that say what was
merged.
"""

import time
from pathlib import Path
from tempfile import TemporaryDirectory

from pipelines import cards, facts
from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Snapshot
from pipelines.recipe import dump
from pipelines.records import digest
from pipelines.run import Run

BRANCH = "merged"
LEFT_OUT = ("README.md", "run/", "plots/", "adapter/", ".gitattributes")


def weights(run: Run, trained: Snapshot) -> Input:
    """The commit that holds the trained weights. An evaluation puts its table on top, into the model's card; *train*
    takes the facts of that evaluation away again when it publishes other weights."""
    evaluated = run.hub.snapshot(trained.repo, "model", "evaluate")
    inputs = evaluated.facts.inputs if evaluated and evaluated.facts else ()
    return next((found for found in inputs if found.repo == trained.repo), trained.input)


def need(run: Run, trained: Input) -> Snapshot:
    """The merged model of these weights, or a StageError that says what to run."""
    found = run.hub.snapshot(run.model, "model", "merge", BRANCH)
    if not found or not found.facts or found.facts.digest != digest(run.recipe.merge) or trained not in _inputs(found):
        raise StageError(
            f"{run.model} has no branch {BRANCH} of its newest weights: run train, with `merge` in the recipe"
        )
    return found


def publish(run: Run, student: Input) -> None:
    """Merge what *train* published with the student that it began from, unless that is done."""
    from pipelines.training import averaging  # torch, seconds that most runs of this process do not need

    published = run.hub.need(run.model, "model", "train")
    trained, share, started = weights(run, published), run.recipe.merge, time.monotonic()
    before = run.hub.snapshot(run.model, "model", "merge", BRANCH)
    assert share
    assert published.facts
    if before and before.facts and before.facts.digest == digest(share) and _inputs(before) == (student, trained):
        run.screen.say(f"train: the branch {BRANCH} of {run.model} is up to date")
        return
    source = run.hub.folder(trained.repo, "model", trained.revision, ignore=("adapter/*",))
    with TemporaryDirectory(prefix="thinkin-merge-") as folder:
        base = run.hub.folder(student.repo, "model", student.revision, ignore=("*.gguf",))
        tensors = averaging.merge(base, source, Path(folder), share)
        told = _facts(run, (student, trained), tensors, time.monotonic() - started)
        files: dict[str, bytes | Path] = {
            name: source / name
            for name in published.files
            if not name.startswith(LEFT_OUT) and (source / name).is_file()
        }
        files |= {path.name: path for path in Path(folder).iterdir()}
        files["README.md"] = cards.model_card(
            run, published.facts, before=run.hub.card(before or published), merge=told
        ).encode()
        files["run/recipe.yaml"] = dump(run.recipe).encode()
        files["run/train.json"] = published.facts.model_dump_json(indent=2).encode()
        files["run/merge.json"] = told.model_dump_json(indent=2).encode()
        _commit(run, files)
    run.screen.say(
        f"train: {share:.0%} of the trained weights and the rest of the student's are on the branch {BRANCH}"
    )


def _inputs(found: Snapshot) -> tuple[Input, ...]:
    return found.facts.inputs if found.facts else ()


def _commit(run: Run, files: dict[str, bytes | Path]) -> None:
    run.hub.branch(run.model, "model", BRANCH)
    there = run.hub.snapshot(run.model, "model", revision=BRANCH)
    assert there
    stale = [path for path in there.files if path not in files and path != ".gitattributes"]
    run.hub.publish(run.model, "model", f"Merge {run.recipe.name}", files, stale, there.revision, BRANCH)


def _facts(run: Run, inputs: tuple[Input, ...], tensors: int, seconds: float) -> Facts:
    return Facts(
        stage="merge",
        recipe=run.recipe.name,
        digest=digest(run.recipe.merge),
        complete=True,
        inputs=inputs,
        seconds=seconds,
        **facts.here(),
        details={"share": run.recipe.merge, "tensors": tensors},
    )
