"""Results in the form that the Hub's leaderboards take up: a file below `.eval_results/` of the model's repo for each.

See https://huggingface.co/docs/hub/eval-results. A leaderboard belongs to a data set that the Hub lists as a benchmark
and knows each result by a task of that data set's eval.yaml; so only benchmarks whose description names the `task` have
a file. For all others there is `model-index` in the card's metadata.
"""

import re
from collections.abc import Iterable
from math import isnan

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

from pipelines.facts import Facts
from pipelines.measures import ALL, Line
from pipelines.recipe import Benchmark, HubSource
from pipelines.run import Run

PREFIX = ".eval_results/thinkin-"
"""How our files' names begin; others in that folder are a person's."""


def files(run: Run, lines: Iterable[Line], told: Facts, kind: str = "trained") -> dict[str, bytes]:
    """By path, the accuracy of the model of this kind in its first way of asking, in percent, on each benchmark as a
    whole: what was asked only in part is no result of it."""
    way = next((way.name for way in run.recipe.evaluate.ways if way.model == kind), None)
    benchmarks = {it.name: it for it in run.recipe.evaluate.benchmarks if it.task and not run.recipe.limit}
    found = dict[str, bytes]()
    for line in lines:
        mine = line.way == way and line.language != ALL and line.benchmark in benchmarks
        if mine and (entry := _entry(run, line, benchmarks[line.benchmark], told)):
            name = re.sub(r"[^A-Za-z0-9]+", "-", f"{line.benchmark} {line.language}").strip("-").lower()
            text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)
            found[f"{PREFIX}{name}.yaml"] = text.encode()
    return found


def _entry(run: Run, line: Line, benchmark: Benchmark, told: Facts) -> EvalResultEntry | None:
    source, value = benchmark.source, line.values["correct"].mean
    if not isinstance(source, HubSource) or source.rows or not benchmark.task or isnan(value):
        return None
    repo = run.hub.repo(source.id)
    return EvalResultEntry(
        dataset_id=repo,
        task_id=benchmark.task.replace("{language}", line.language),
        value=round(100 * value, 2),
        dataset_revision=next((read.revision for read in told.inputs if read.repo == repo), None),
        date=told.updated or None,
        source_url=run.hub.address(run.results, "dataset"),
        source_name="Every answer",
        notes=f"{line.way}; mean of {line.samples} samples" if line.samples > 1 else line.way,
    )
