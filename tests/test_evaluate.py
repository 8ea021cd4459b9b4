from pipelines.measures import pairs
from pipelines.recipe import Way


def way(name: str, instruction: str) -> Way:
    return Way.model_validate(
        {"name": name, "model": "trained" if "trained" in name else "base", "instruction": instruction}
    )


def test_the_trained_model_meets_every_way_of_asking_and_its_other_ways_the_same_words() -> None:
    ways = [way("base", "plain.v1"), way("trained", "plain.v1"), way("English", "english.v1")]
    ways.append(way("trained in English", "english.v1"))
    found = [(trained.name, base.name) for trained, base in pairs(ways)]
    assert found == [("trained", "base"), ("trained", "English"), ("trained in English", "English")]


def test_without_a_trained_way_nothing_is_compared() -> None:
    assert list(pairs([way("base", "plain.v1")])) == []
