"""generate: as many samples of a prompt as it takes, whatever the order, the interruptions and the machines."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_server import Script, serving

from pipelines import hub
from pipelines.errors import StageError
from pipelines.recipe import Adaptive, Generate, Recipe
from pipelines.records import Candidate, Prompt
from pipelines.run import Run, Shard
from pipelines.screen import Screen
from pipelines.stages import generate, prompts
from pipelines.stages.generate import wanted

RULES = st.builds(
    lambda samples, floor, target, give_up: Generate(
        engine="e",
        samples=samples,
        adaptive=Adaptive(floor=min(floor, samples), target=min(target, samples), give_up=min(give_up, samples)),
    ),
    *[st.integers(1, 10)] * 4,
)
OUTCOMES = st.lists(st.booleans(), min_size=10, max_size=10)


def taken(config: Generate, outcomes: list[bool], known: dict[int, bool] | None = None) -> dict[int, bool]:
    known = dict(known or {})
    while numbers := wanted(known, config):
        known |= {number: outcomes[number] for number in numbers}
    return known


@given(RULES, OUTCOMES)
def test_sampling_ends_by_the_rule_and_never_passes_the_ceiling(config: Generate, outcomes: list[bool]) -> None:
    known, rule = taken(config, outcomes), config.adaptive
    assert rule
    assert sorted(known) == list(range(len(known)))
    assert rule.floor <= len(known) <= config.samples
    good = sum(known.values())
    assert good >= rule.target or len(known) == config.samples or (good == 0 and len(known) >= rule.give_up)


@given(RULES, OUTCOMES)
def test_beyond_the_floor_no_sample_is_taken_that_the_target_does_not_need(
    config: Generate, outcomes: list[bool]
) -> None:
    known, rule = taken(config, outcomes), config.adaptive
    assert rule
    assert sum(known.values()) <= max(rule.target, sum(outcomes[: rule.floor]))


@given(RULES, OUTCOMES, st.sets(st.integers(0, 9)))
def test_a_run_that_was_broken_off_takes_the_samples_it_would_have_taken(
    config: Generate, outcomes: list[bool], there: set[int]
) -> None:
    whole = taken(config, outcomes)
    left = {number: passed for number, passed in whole.items() if number in there}
    assert taken(config, outcomes, left) == whole


@given(st.integers(1, 10), OUTCOMES)
def test_without_a_rule_all_samples_are_taken_at_once(samples: int, outcomes: list[bool]) -> None:
    assert wanted({}, Generate(engine="e", samples=samples)) == list(range(samples))


def test_a_rule_above_the_ceiling_is_refused() -> None:
    with pytest.raises(ValueError, match="at most samples, which is 3"):
        Generate(engine="e", samples=3, adaptive=Adaptive(give_up=4))


# --- against a server


@dataclass
class Teacher(Script):
    """Right from the first, second or third sample of a prompt on, or never, by the question."""

    right_from: dict[str, float] = field(default_factory=dict)
    golds: dict[str, str] = field(default_factory=dict)
    seeds: dict[str, list[int]] = field(default_factory=dict)
    """Per question its seeds, in the order of the samples' numbers."""

    def reply(self, body: dict[str, Any]) -> str:
        question = next((text for text in self.golds if text in body["messages"][-1]["content"]), None)
        if question is None:
            return super().reply(body)
        number = self.seeds[question].index(body["seed"])
        answer = self.golds[question] if number >= self.right_from[question] else "77777"
        chain = f"Сначала прочитаем условие задачи, потом всё посчитаем и получим {answer}. Проверим ещё раз."
        return f"<think>\n{chain}\n</think>\n\nОтвет: {answer}"


FROM = (0, 1, 2, 3, float("inf"))


@pytest.fixture
def teacher(hub_server: str, name: str) -> Iterator[tuple[Teacher, Run]]:
    script = Teacher()
    with serving(script) as url:
        source = {"kind": "problems", "families": ["ages", "seats"], "rows": 10}
        tree = {
            "name": name,
            "languages": ["ru"],
            "engines": {"e": {"kind": "openai", "model": "m", "url": url, "parallel": 3}},
            "prompts": {"sources": [source]},
            "generate": {"engine": "e", "samples": 6, "adaptive": {"floor": 2, "target": 2, "give_up": 4}},
            "train": {"student": "a/b"},
            "evaluate": {
                "engine": "e",
                "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
                "benchmarks": [{"name": "b", "source": source}],
            },
        }
        run = Run(Recipe.model_validate(tree), hub.connect(None), Screen())
        prompts.run(run)
        asking = generate.askings(run.recipe)["ru"]
        for number, row in enumerate(asked(run)):
            script.golds[row.text], script.right_from[row.text] = str(row.gold), FROM[number % len(FROM)]
            samples = generate.samples(run.recipe, row, asking, "")
            script.seeds[row.text] = [generate.seed(run.recipe, item.value) for item in samples]
        yield script, run


def asked(run: Run) -> list[Prompt]:
    return list(run.hub.rows(run.hub.need(run.prompts, "dataset", "prompts"), Prompt))


def made(run: Run) -> list[Candidate]:
    snapshot = run.hub.snapshot(run.candidates, "dataset", "generate")
    return list(run.hub.rows(snapshot, Candidate)) if snapshot else []


def numbers(run: Run, script: Teacher) -> dict[float, set[int]]:
    """By when the teacher is right, how many samples such prompts have."""
    counts = Counter(row.prompt.text for row in made(run))
    found = dict[float, set[int]]()
    for text, count in counts.items():
        found.setdefault(script.right_from[text], set()).add(count)
    return found


EXPECTED = {0: {2}, 1: {3}, 2: {4}, 3: {5}, float("inf"): {4}}


def test_a_prompt_gets_samples_until_enough_are_good(teacher: tuple[Teacher, Run]) -> None:
    script, run = teacher
    generate.run(run)
    assert numbers(run, script) == EXPECTED
    facts = run.hub.need(run.candidates, "dataset", "generate").facts
    assert facts
    assert facts.counts["ru"] == {"generated": 36, "finished": 36, "passed": 16}
    assert sorted(row.id for row in made(run)) == sorted({row.id for row in made(run)})


def test_the_samples_are_those_of_fixed_numbers_as_far_as_they_go(teacher: tuple[Teacher, Run]) -> None:
    _, run = teacher
    generate.run(run)
    rows = {(row.prompt.id, row.sample): (row.id, row.seed) for row in made(run)}
    fixed = run.recipe.generate.model_copy(update={"adaptive": None})
    recipe = run.recipe.model_copy(update={"generate": fixed})
    every = Run(recipe, run.hub, run.screen)
    generate.run(every)
    assert len(made(every)) == 60
    assert rows.items() <= {(row.prompt.id, row.sample): (row.id, row.seed) for row in made(every)}.items()


def test_shards_take_the_same_samples(teacher: tuple[Teacher, Run]) -> None:
    script, run = teacher
    generate.run(Run(run.recipe, run.hub, run.screen, Shard(1, 2)))
    with pytest.raises(StageError, match="not finished"):
        run.hub.need(run.candidates, "dataset", "generate")
    generate.run(Run(run.recipe, run.hub, run.screen, Shard(2, 2)))
    assert numbers(run, script) == EXPECTED
    assert run.hub.need(run.candidates, "dataset", "generate")


def test_a_failed_sample_is_taken_again_by_the_next_run_and_is_no_good_one_until_then(
    teacher: tuple[Teacher, Run],
) -> None:
    script, run = teacher
    script.faults = ["400"] * 3
    generate.run(run)
    facts = run.hub.need(run.candidates, "dataset", "generate").facts
    assert facts
    assert facts.failures == 3
    generate.run(run)
    facts = run.hub.need(run.candidates, "dataset", "generate").facts
    assert facts
    assert (facts.complete, facts.failures) == (True, 0)
    by_prompt = Counter(row.prompt.text for row in made(run))
    assert all(count >= min(EXPECTED[script.right_from[text]]) for text, count in by_prompt.items())


def test_what_the_checks_demand_counts_for_the_digest_where_they_decide(teacher: tuple[Teacher, Run]) -> None:
    recipe = teacher[1].recipe
    looser = recipe.model_copy(update={"judge": recipe.judge.model_copy(update={"purity": 0.5})})
    assert looser.digest("generate") != recipe.digest("generate")
    fixed = recipe.generate.model_copy(update={"adaptive": None})
    first, second = (one.model_copy(update={"generate": fixed}) for one in (recipe, looser))
    assert first.digest("generate") == second.digest("generate")
