from pipelines.measures import pairs
from pipelines.recipe import Recipe, Way
from pipelines.stages import evaluate
from tests.test_recipe import TREE


def way(name: str, instruction: str) -> Way:
    return Way.model_validate(
        {
            "name": name,
            "model": next((kind for kind in ("trained", "merged") if kind in name), "base"),
            "instruction": instruction,
        }
    )


def test_the_trained_model_meets_every_way_of_asking_and_its_other_ways_the_same_words() -> None:
    ways = [way("base", "plain.v1"), way("trained", "plain.v1"), way("English", "english.v1")]
    ways.append(way("trained in English", "english.v1"))
    found = [(trained.name, base.name) for trained, base in pairs(ways)]
    assert found == [("trained", "base"), ("trained", "English"), ("trained in English", "English")]


def test_the_merged_model_meets_the_base_and_the_trained_model_asked_in_the_same_words() -> None:
    ways = [way("base", "plain.v1"), way("English", "english.v1"), way("trained", "plain.v1")]
    ways += [way("trained in English", "english.v1"), way("merged", "plain.v1")]
    found = [(one.name, other.name) for one, other in pairs(ways) if one.name == "merged"]
    assert found == [("merged", "base"), ("merged", "English"), ("merged", "trained")]


def test_without_a_trained_way_nothing_is_compared() -> None:
    assert list(pairs([way("base", "plain.v1")])) == []


def test_the_card_tells_what_the_models_are_told() -> None:
    tree = TREE | {"languages": ["ru", "uk"]}
    ways = [{"name": name, "model": "base", "instruction": name} for name in ("plain.v1", "opening.v1")]
    recipe = Recipe.model_validate(tree | {"evaluate": tree["evaluate"] | {"ways": ways}})
    plain, opening = evaluate.spoken(recipe)
    assert plain["text"] == "[user]\n(the question)"
    assert opening["instruction"].startswith("opening.v1.ru#")
    assert "[assistant]\n<think>" in opening["text"]
