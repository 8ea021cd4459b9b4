"""tables.py: the same cells on a screen and in a card, and no number that is cut."""

import io
from itertools import product

from markdown_it import MarkdownIt
from rich.console import Console

from pipelines.measures import ALL, FEW, TITLES, Difference, collect, compare, summarise
from pipelines.records import Result
from pipelines.tables import COST, DETAIL, FORM, at_a_glance, headlines, markdown, overview, render
from tests.rows import result


def answers(way: str, right: int, items: int, samples: int = 1, **changed: object) -> list[Result]:
    return [
        result(way, item, item < right, sample, **changed) for item, sample in product(range(items), range(samples))
    ]


def apart(rows: list[Result], way: str, other: str) -> list[Difference]:
    return compare(collect(rows), way, other, "joint")


def screen(rows: list[Result], differences: list[Difference], width: int = 300) -> str:
    console = Console(file=io.StringIO(), width=width, soft_wrap=True)
    render(summarise(collect(rows)), differences, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_screen_and_card_show_the_same_cells_and_mark_small_numbers() -> None:
    rows = [*answers("a [b] | `c`", 8, 12), *answers("[bold]d", 40, 80)]
    differences = apart(rows, "a [b] | `c`", "[bold]d")
    shown, card = screen(rows, differences), markdown(summarise(collect(rows)), differences)
    tokens = MarkdownIt("commonmark").enable("table").parse(card)
    cells = [inner.content for token in tokens for inner in token.children or () if inner.type == "text"]
    for cell in (
        "b",
        "a [b] | `c`",
        "[bold]d",
        "12*",
        "80",
        "67 (39–86)",
        "100 (76–100)",
        *(TITLES[name] for name in (*FORM, *DETAIL, *COST)),
    ):
        assert cell in cells
        assert cell in shown
    assert f"fewer than {FEW} items" in shown
    assert f"fewer than {FEW} items" not in screen(answers("a", 40, 80), [])


def test_no_number_is_cut_on_a_narrow_screen() -> None:
    rows = [*answers("base instructed", 60, 200), *answers("trained", 200, 200)]
    shown = screen(rows, apart(rows, "trained", "base instructed"), width=80)
    assert "…" not in shown
    assert {"(24–37)", "(98–100)", "200"} <= set(shown.split())
    assert max(len(line) for line in shown.splitlines() if "(98–100)" in line) <= 80


def test_nothing_at_all_is_an_empty_table() -> None:
    assert (summarise([]), markdown((), ()), screen([], [])) == ((), "", "")


def test_a_screen_shows_the_differences_of_each_part_side_by_side() -> None:
    both = [*answers("a", 30, 40), *answers("b", 10, 40)]
    rows = [row.model_copy(update={"benchmark": name}) for name in ("known", "unseen") for row in both]
    shown = screen([], apart(rows, "a", "b"))
    (line,) = (line for line in shown.splitlines() if line.strip().startswith("joint"))
    assert line.count("+50") == 3


def test_many_languages_are_one_column_on_a_screen_and_all_of_them_in_a_card() -> None:
    tongues = ("ru", "uk", "be", "kk", "de")
    rows = [
        one
        for way, right in (("a", 30), ("b", 10))
        for tongue in tongues
        for one in answers(way, right, 40, language=tongue)
    ]
    differences = apart(rows, "a", "b")
    assert [found.language for found in differences] == [ALL, *sorted(tongues)]
    assert screen([], differences).count("+50") == 1
    assert markdown((), differences).count("+50") == 1 + len(tongues)


def test_what_no_item_can_say_is_a_dash() -> None:
    assert "| – |" in markdown((), apart(answers("a", 5, 40), "a", "b"))
    card = markdown(summarise(collect(answers("a", 0, 40))), ())
    assert "∞" in card  # tokens for each right answer, where none is right
    assert "nan" not in card


def test_a_card_begins_with_what_training_did_against_the_best_of_the_other_ways() -> None:
    rows = [*answers("base", 10, 80), *answers("told", 35, 80), *answers("trained", 40, 80)]
    differences = [*apart(rows, "trained", "base"), *apart(rows, "trained", "told")]
    (told,) = headlines(differences)
    assert told.startswith("Joint: trained +6 (")
    assert "percentage points against told, the best of the 2 ways of asking that it is compared with" in told
    assert told.endswith("over 80 items.")
    doubtful = [*answers("told", 39, 80), *answers("trained", 40, 80)]
    assert headlines(apart(doubtful, "trained", "told"))[0].endswith(
        "80 items: they cannot tell it from no difference."
    )
    assert headlines([]) == []
    card = overview(summarise(collect(rows)), differences)
    assert card.index("percentage points") < card.index("| benchmark |")


def test_at_a_glance_several_languages_are_one_line() -> None:
    rows = [
        row for language in ("ru", "de") for way in ("base", "trained") for row in answers(way, 3, 5, language=language)
    ]
    found = at_a_glance(summarise(collect(rows)))
    assert [row[:4] for row in found.rows] == [("b", "base", "all", "10*"), ("b", "trained", "all", "10*")]
