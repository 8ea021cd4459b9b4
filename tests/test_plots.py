"""plots.py: the numbers of the facts as pictures that can be read, with one language or 38, on white and on dark."""

import io
import json
import math
from typing import Any

import numpy as np
import pytest
import rows
from PIL import Image

from pipelines import measures, plots
from pipelines.facts import Facts
from pipelines.language import LABELS
from pipelines.recipe import Way

WAYS = (
    Way(name="base", model="base", instruction="plain.v1"),
    Way(name="told", model="base", instruction="think.v1"),
    Way(name="trained", model="trained", instruction="plain.v1"),
)
WHITE, DARK = (255, 255, 255), (11, 15, 25)


def facts(languages: int = 2, **details: Any) -> Facts:
    names = sorted(LABELS)[:languages]
    answers = [
        rows.result(way.name, item, joint=item % 2 == 0, language=language, benchmark="$x_1$ | <b>")
        for language in names
        for way in WAYS
        for item in range(3)
    ]
    spread = plots.Spread()
    for number, language in enumerate(names * 5):
        spread.add(language, tokens=100.0 + number, share=None if number % 3 else 0.5)
    told = {"scores": plots.scores(measures.summarise(measures.collect(answers)), WAYS), "spread": spread.quantiles()}
    counts = {language: {"generated": 20 + place, "chosen": 7} for place, language in enumerate(names)}
    return Facts(
        stage="judge", recipe="r", digest="d", complete=True, inputs=(), counts=counts, details={**told, **details}
    )


def image(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content)).convert("RGBA")


def test_a_plot_says_what_the_lines_of_the_table_say() -> None:
    answers = [rows.result(way.name, 1, joint=True) for way in WAYS]
    lines = measures.summarise(measures.collect(answers))
    told = plots.scores(lines, WAYS)
    joint = next(one for one in told if one["measure"] == "joint")
    value = lines[0].values["joint"]
    assert joint["value"] == [value.mean, value.low, value.high]
    assert {one["way"]: one["when"] for one in told} == {"base": "before", "told": "before", "trained": "after"}


def test_each_way_of_asking_has_a_colour_and_a_mark_of_its_own() -> None:
    looks = [look for of_model in plots.WAYS.values() for look in of_model]
    assert len({colour for colour, _ in looks}) == len({mark for _, mark in looks}) == len(looks)


def test_what_is_drawn_survives_as_json() -> None:
    told = facts()
    again = Facts.model_validate_json(told.model_dump_json())
    assert json.loads(json.dumps(dict(told.details))) == dict(again.details)
    assert plots.files(again) == plots.files(told)


def test_a_value_without_an_interval_is_drawn_as_a_dot() -> None:
    one = {"benchmark": "b", "language": "ru", "way": "base", "when": "before", "measure": "joint"}
    drawn = plots.files(facts(scores=[{**one, "value": [0.5, None, None]}]))
    assert np.asarray(image(drawn[plots.SCORES])).any()


def test_quantiles_are_those_of_the_values() -> None:
    spread = plots.Spread()
    for value in range(101):
        spread.add("ru", tokens=float(value), share=None)
    assert spread.quantiles() == {"tokens": {"ru": [5.0, 25.0, 50.0, 75.0, 95.0]}}


def test_a_funnel_tells_what_was_kept_and_at_which_step_the_rest_was_lost() -> None:
    counts = {
        "ru": {"generated": 200, "structure": 200, "language": 150, "chosen": 50},
        "de": {"generated": 10, "structure": 10, "language": 10, "chosen": 10},
        "fr": {"generated": 0, "structure": 0, "language": 0, "chosen": 0},
    }
    found = plots.kept_and_lost(counts)
    assert found == {
        "kept": [25.0, 100.0, 0.0],
        "lost at: language": [25.0, 0.0, 0.0],
        "lost at: chosen": [50.0, 0.0, 0.0],
    }


def test_each_language_has_room_of_its_own() -> None:
    few, many = (plots.files(facts(count)) for count in (1, 38))
    assert set(few) == set(many) == plots.CAPTIONS.keys()
    for path in few:
        assert image(many[path]).width == image(few[path]).width
        assert image(many[path]).height - image(few[path]).height > 30 * plots.INCHES * plots.DOTS
        assert np.asarray(image(few[path]))[..., 3].any()


def test_counts_that_are_no_steps_of_a_funnel_are_not_drawn_as_one() -> None:
    told = facts().model_copy(update={"stage": "evaluate"})
    assert plots.FUNNEL not in plots.files(told)


def test_nothing_is_drawn_where_there_are_no_numbers() -> None:
    assert plots.files(Facts(stage="judge", recipe="r", digest="d", complete=True, inputs=())) == {}


@pytest.mark.parametrize(
    "colour", [plots.INK, *plots.STEPS, *(colour for looks in plots.WAYS.values() for colour, _ in looks)]
)
@pytest.mark.parametrize("page", [WHITE, DARK])
def test_every_colour_holds_on_white_and_on_dark(colour: str, page: tuple[int, int, int]) -> None:
    shown = tuple(int(colour[place : place + 2], 16) for place in (1, 3, 5))
    assert contrast(shown, page) >= (4 if colour == plots.INK else 3)


def test_the_background_is_transparent() -> None:
    for content in plots.files(facts()).values():
        assert np.asarray(image(content))[0, 0, 3] == 0


def contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """The ratio of WCAG 2, which asks for 3 for graphics."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: tuple[int, ...]) -> float:
    parts = [value / 255 / 12.92 if value <= 10 else math.pow((value / 255 + 0.055) / 1.055, 2.4) for value in colour]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
