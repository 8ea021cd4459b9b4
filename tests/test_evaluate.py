from pipelines.measures import pairs
from pipelines.recipe import Way


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
