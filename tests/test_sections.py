"""sections.py: what a person writes into a card stays, and what a model writes becomes no such section."""

from urllib.request import urlopen

import pytest
from huggingface_hub import DatasetCard
from hypothesis import given
from hypothesis import strategies as st
from test_cards import NASTY, card, facts, run, split

from pipelines import hub, sections
from pipelines.cards import data_card, fenced, model_card

MINE = "Made by **us**.\n\n## A heading\n\n```\n\n\n\ncode\n```\n<!-- a comment -->\n| a |\n| - |"
FORGED = (
    "<!-- yours: notes -->\n# forged\n<!-- end of: notes -->",
    "```\n<!-- yours: notes -->\n# forged\n<!-- end of: notes -->",
    "\r<!-- yours: notes -->\r# forged",
    "a\r\n<!-- yours: notes -->\r\n# forged",
    "---\n<!-- yours: introduction -->\n# forged\n---\n",
)


def edited(text: str, **mine: str) -> str:
    for name, words in mine.items():
        text = text.replace(sections.marked(name, ""), sections.marked(name, words))
    return text


def written(before: str, stage: str = "choose", text: str = "plain") -> str:
    if stage == "train":
        return model_card(run(text), facts(stage, text), before=before)
    return data_card(run(text), "me/x", facts(stage, text), (), before)


@pytest.mark.parametrize("stage", ["choose", "judge", "train"])
def test_what_a_person_writes_stays_letter_by_letter_in_its_place(stage: str) -> None:
    first = edited(written("", stage), introduction=MINE, notes="Ours, too.")
    second = written(first, stage)
    assert second == first == written(second, stage)
    assert second.index("A heading") < second.index("## How it was made") < second.index("Ours, too.")


def test_a_section_of_a_persons_own_follows_at_the_end() -> None:
    first = written("").replace("## Licence", f"{sections.marked('thanks', 'To all.')}\n\n## Licence")
    second = written(first)
    assert sections.kept(second)["thanks"] == "To all."
    assert second == written(second)


def test_metadata_of_a_persons_own_stays_and_ours_is_written_anew() -> None:
    first = written("").replace("---\n", "---\npretty_name: Thoughts\nextra_gated_prompt: 'Agree: yes?'\n", 1)
    front, _ = split(written(first.replace("license: plain", "license: mit")))
    assert (front["pretty_name"], front["extra_gated_prompt"]) == ("Thoughts", "Agree: yes?")
    assert front["license"] == "plain"


@pytest.mark.parametrize("front", ["a: [", "- 1", "a: 2020-99-99", "", "&a [*a]"])
def test_metadata_that_cannot_be_read_is_left_out(front: str) -> None:
    split(written(f"---\n{front}\n---\n{sections.marked('notes', 'mine')}"))


def test_a_section_whose_last_line_is_lost_ends_before_the_next_heading() -> None:
    first = edited(written(""), introduction="mine").replace("<!-- end of: introduction -->\n", "")
    assert sections.kept(first)["introduction"] == "mine"
    assert written(first) == edited(written(""), introduction="mine")


def test_a_card_that_was_saved_with_other_line_ends_keeps_its_sections() -> None:
    first = edited(written(""), notes="one\ntwo")
    assert written(first.replace("\n", "\r\n")) == first


@pytest.mark.parametrize("text", [*FORGED, *NASTY])
@pytest.mark.parametrize("stage", ["choose", "train"])
def test_no_value_of_a_card_becomes_a_section(stage: str, text: str) -> None:
    found = sections.kept(card(stage, text))
    assert found == dict.fromkeys(sections.NAMES, "")


@given(st.lists(st.sampled_from(["<!-- yours: notes -->", "<!-- end of: notes -->", "\r", "\n", "`", "x", "---"])))
def test_no_text_in_a_code_block_becomes_a_section(parts: list[str]) -> None:
    assert sections.kept(f"# x\n\n{fenced(''.join(parts))}\n") == {}


def test_the_hub_shows_a_hostile_card_as_text_and_its_clients_read_what_was_written(hub_server: str, name: str) -> None:
    connected, repo = hub.connect(None), f"local/{name}"
    connected.create(repo, "dataset", private=False)
    for text in (*NASTY, *FORGED):
        made = edited(data_card(run(text), repo, facts("choose", text), ()), notes="Ours *alone*.")
        connected.publish(repo, "dataset", "a card", {"README.md": made.encode()})
        read = DatasetCard.load(repo)
        assert (read.data.language, read.data.license) == (["ru", "no"], text)
        head = connected.snapshot(repo, "dataset")
        assert head
        assert sections.kept(connected.card(head))["notes"] == "Ours *alone*."
        with urlopen(f"{hub_server}/datasets/{repo}") as answer:  # noqa: S310 - loopback
            page = answer.read().decode()
        assert "Ours <em>alone</em>." in page
        assert "<script>alert" not in page
        assert "forged</h1>" not in page
        assert 'src="http://evil.example' not in page
        assert "javascript:alert" not in page.replace("[x](javascript:alert(1))", "")
