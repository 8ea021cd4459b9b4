"""benchmarks: what is shipped can be named in a recipe, changed there, and says what it is."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import benchmarks, recipes
from pipelines.errors import RecipeError
from pipelines.recipe import Benchmark, HubSource
from tests.test_recipe import TREE


def loaded(tmp_path: Path, *entries: object) -> tuple[Benchmark, ...]:
    tree: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TREE))
    tree["evaluate"]["benchmarks"] = list(entries)
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree), "utf-8")
    return recipes.load(str(path)).evaluate.benchmarks


@pytest.mark.parametrize("name", benchmarks.names())
def test_every_shipped_description_makes_benchmarks_with_languages_and_a_kind_of_answer(
    name: str, tmp_path: Path
) -> None:
    found = loaded(tmp_path, name)
    assert found
    assert len({one.name for one in found}) == len(found)
    for one in found:
        assert one.languages
        assert one.answer
        if isinstance(one.source, HubSource):
            assert one.source.gold
            assert ("{language}" in one.source.language) == (len(one.languages) > 1)


def test_what_the_work_is_measured_by_is_shipped() -> None:
    named = {
        "mgsm", "mgsm-rev2", "polymath", "mmath", "xreasoning", "aime-multilingual", "gpqa-multilingual", "math-500",
        "t-math", "rumath-500", "ruaime", "procedural",
    }  # fmt: skip
    assert named == set(benchmarks.names())


def test_a_name_can_stand_for_several_files(tmp_path: Path) -> None:
    names = [one.name for one in loaded(tmp_path, "xreasoning")]
    assert names == ["MGSM", "AIME 2024", "AIME 2025", "GPQA diamond"]


def test_polymath_has_four_levels_in_eighteen_languages(tmp_path: Path) -> None:
    found = loaded(tmp_path, "polymath")
    assert [(one.name, len(one.languages or ())) for one in found] == [
        (f"PolyMath {level}", 18) for level in ("low", "medium", "high", "top")
    ]


def test_a_recipe_takes_a_description_with_some_of_it_replaced(tmp_path: Path) -> None:
    own = {"name": "own", "source": {"kind": "gym", "task": "chain_sum", "rows": 3}}
    (one, other) = loaded(tmp_path, {"use": "mgsm", "languages": ["ru"], "rows": 20, "revision": "v1"}, own)
    assert isinstance(one.source, HubSource)
    assert (one.name, one.languages, one.source.rows, one.source.revision) == ("MGSM", ("ru",), 20, "v1")
    assert other.name == "own"


@pytest.mark.parametrize("entry", ["mgms", {"use": "mgms"}])
def test_a_name_that_is_not_there_is_told_with_those_that_are(entry: object, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no benchmark 'mgms'; there are: .*mgsm"):
        loaded(tmp_path, entry)


def test_the_published_recipe_holds_the_description_and_not_its_name(tmp_path: Path) -> None:
    (one,) = loaded(tmp_path, "t-math")
    assert one.source.model_dump()["id"] == "t-tech/T-math"


def test_a_prompt_without_a_place_for_the_question_is_refused(tmp_path: Path) -> None:
    source = {"kind": "gym", "task": "chain_sum", "rows": 3}
    with pytest.raises(RecipeError, match=r"prompt\.ru needs \$text"):
        loaded(tmp_path, {"name": "x", "source": source, "prompt": {"ru": "Реши."}})


def test_another_benchmark_changes_what_is_chosen_and_no_other_data(tmp_path: Path) -> None:
    def digests(*entries: object) -> dict[str, str]:
        path = tmp_path / "recipe.yaml"
        loaded(tmp_path, *entries)
        recipe = recipes.load(str(path))
        return {stage: recipe.digest(stage) for stage in ("prompts", "generate", "judge", "choose", "evaluate")}

    before, after = digests("mgsm"), digests("mgsm", "t-math")
    assert {stage for stage in before if before[stage] != after[stage]} == {"choose", "evaluate"}
