"""report: one page that says what the rows say, in a real browser, and runs nothing that stands in them."""

import html
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import browser
import pytest
import rows
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import hub, report
from pipelines.errors import StageError
from pipelines.facts import Facts
from pipelines.marking import marked, visible
from pipelines.recipe import STAGES, Way
from pipelines.records import Conversation, Message, Score
from pipelines.report import Page, judges
from pipelines.report.cases import asked, chosen, sample
from pipelines.tables import Grid

ATTACK = (
    '</script></style></textarea><script>document.title="taken"</script><img src=x onerror=\'document.title="taken"\'>'
)
WAYS = (
    Way(name="base", model="base", instruction="plain.v1"),
    Way(name="trained", model="trained", instruction="plain.v1"),
)


def conversation(number: int, reason: str | None, text: str = "Думаю.", language: str = "ru") -> Conversation:
    response = f"<think>\n{text}\n</think>\n\nОтвет: {number}"
    return Conversation(
        id=f"{number}-{reason}",
        language=language,
        messages=(Message(role="user", content="?"), Message(role="assistant", content=response)),
        prompt=rows.prompt(number, language),
        candidate="c",
        teacher="t",
        teacher_revision="r",
        outcome="right",
        scores=(Score(judge="fluency", value=4.0, model="m", instruction="i"),),
        tokens=12,
        reason=reason,
    )


def page(**changed: Any) -> Page:
    told = Facts(stage="judge", recipe="r", digest="d", complete=True, inputs=(), counts={"ru": {"generated": 2}})
    base = rows.result("base", 1, False, reasoning="Let us think about it in English now.", answer="Ответ: $x = 3$")
    trained = rows.result("trained", 1, True, reasoning="Подумаем об этом по-русски.", answer="Ответ: $x = 1$")
    values: dict[str, Any] = {
        "title": "a run",
        "made": "now",
        "headlines": ["a headline"],
        "glance": None,
        "scores": [],
        "plots": [("a plot", "data:image/png;base64,iVBORw0KGgo=")],
        "repos": [("judge", "me/r-judged", "http://127.0.0.1:1/datasets/me/r-judged", told)],
        "grids": [
            Grid("table", ("way", "n", "joint"), [("a", "9*", "7 (1–9)"), ("b", "1,000", "–"), ("c", "10", "40")], 1)
        ],
        "notes": ["a note"],
        "chosen": chosen([conversation(1, None), conversation(1, "place 3 among the prompt's candidates")], 5),
        "asked": asked([trained, base], WAYS, 5),
        "ways": ["base", "trained"],
        "after": "trained",
    }
    return Page(**values | changed)


def opened(tmp_path: Path, shown: Page, script: str = "") -> str:
    """The page in a browser; `script` is what a person does there, for which the page's policy is taken out."""
    text = report.render(shown)
    if script:
        text = re.sub("<meta http-equiv.*?>", "", text).replace("</body>", f"<script>{script}</script></body>")
    file = tmp_path / "page.html"
    file.write_text(text, "utf-8")
    return browser.dom(file)


def test_the_page_shows_before_and_after_with_the_other_language_marked_and_maths_greyed(tmp_path: Path) -> None:
    shown = opened(tmp_path, page())
    assert '<mark title="English" lang="en">Let us think about it in English now</mark>' in shown
    assert '<span class="masked">$x = 3$</span>' in shown
    assert shown.index('data-label="base"') < shown.index('data-label="trained"')
    assert '<section class="panel good" data-label="trained"' in shown
    assert '<section class="panel bad" data-label="rejected"' in shown
    assert "place 3 among the prompt&#39;s candidates" in shown.replace("'", "&#39;")
    assert shown.count("1 shown") == 2  # its own script ran under its own policy


def test_the_judges_stand_in_the_page_beside_people_and_beside_one_another() -> None:
    finding = {
        "judge": "fluency", "model": "m", "language": "ru", "items": 40, "failed": 1, "agreement": [0.7, 0.5, 0.9],
        "same": [0.6, 0.4, 0.8], "bias": [0.2, None, None], "length": [], "confusion": [[1, 2, 3, 4, 5]] * 5,
    }  # fmt: skip
    pair = {"first": "a", "second": "b", "rows": 9, "kappa": [0.1, 0.0, 0.2], "same": [0.5, 0.4, 0.6], "apart": 1.25}
    people, confusion, pairs = judges.grids({"calibration": [finding], "disagreement": [pair]})
    assert people.rows[0][3:] == ["40", "1", "0.70 (0.50 to 0.90)", "0.60 (0.40 to 0.80)", "0.20", "–"]
    assert confusion.rows[4] == ["5", "1", "2", "3", "4", "5"]
    assert pairs.rows == [["a", "b", "9", "0.10 (0.00 to 0.20)", "0.50 (0.40 to 0.60)", "1.25"]]
    assert list(judges.grids({})) == []


def test_nothing_out_of_a_row_runs_or_becomes_markup(tmp_path: Path) -> None:
    told = Facts(
        stage="judge", recipe=ATTACK, digest="d", complete=True, inputs=(), updated=ATTACK, source=ATTACK, counts={}
    )
    answer = rows.result(
        "base", 1, False, reasoning=ATTACK, answer=ATTACK, question=ATTACK, gold=ATTACK, benchmark=ATTACK
    )
    hostile = page(
        title="safe",
        repos=[("judge", ATTACK, "http://127.0.0.1:1/" + ATTACK, told)],
        grids=[Grid(ATTACK, (ATTACK, "n"), [(ATTACK, ATTACK)], 1)],
        notes=[ATTACK],
        headlines=[ATTACK],
        glance=Grid(ATTACK, (ATTACK, "n"), [(ATTACK, ATTACK)], 1),
        plots=[(ATTACK, "data:image/png;base64,iVBORw0KGgo=")],
        chosen=chosen([conversation(1, ATTACK, ATTACK)], 5),
        asked=asked([answer], WAYS, 5),
        ways=[ATTACK, "base"],
        after=ATTACK,
    )
    shown = opened(tmp_path, hostile)
    assert "<title>safe: report</title>" in shown
    assert len(re.findall("<script", shown)) == 1
    assert re.findall("<img [a-z]+=", shown) == ["<img src="]
    assert "<img src=x" not in shown


def test_a_policy_forbids_every_script_but_the_page_s_own_and_every_address(tmp_path: Path) -> None:
    text = report.render(page()).replace(
        "</body>", '<script>document.title="taken"</script><p onclick="x">y</p></body>'
    )
    file = tmp_path / "page.html"
    file.write_text(text, "utf-8")
    assert "<title>a run: report</title>" in browser.dom(file)
    assert not re.findall(r'\ssrc="(?!data:)|url\(|@import|<link|<iframe', text)


def test_tables_sort_by_numbers_and_what_has_none_comes_last(tmp_path: Path) -> None:
    order = '[...document.querySelectorAll(".sortable tbody tr")].map(r => r.cells[0].textContent).join("")'
    click = 'document.querySelectorAll(".sortable th button")[{}].click()'
    steps = [f"{click.format(column)}; said.push({order})" for column in (1, 1, 2, 2, 0)]
    shown = opened(tmp_path, page(), f'const said = []; {"; ".join(steps)}; document.title = said.join(" ")')
    assert re.findall("<title>(.*?)</title>", shown) == ["bca acb cab acb abc"]


def test_tables_filter_by_words(tmp_path: Path) -> None:
    typed = (
        'const box = document.getElementById("filter"); box.value = "1,000 B"; box.dispatchEvent(new Event("input"));'
    )
    counted = 'document.title = document.querySelectorAll(".sortable tbody tr:not([hidden])").length'
    assert "<title>1</title>" in opened(tmp_path, page(), typed + counted)


def test_cases_filter_by_verdict_text_and_side(tmp_path: Path) -> None:
    script = """
    const said = [], count = (id) => document.querySelectorAll(`#${id} .panel:not([hidden])`).length;
    const set = (id, selector, value) => { const one = document.querySelector(`#${id} ${selector}`); one.value = value;
      one.dispatchEvent(new Event("input", {bubbles: true})); };
    said.push(count("chains")); set("chains", ".pick-verdict", "bad"); said.push(count("chains"));
    set("chains", ".search", "no such words"); said.push(document.querySelector("#chains .count").textContent);
    said.push(count("answers")); set("answers", ".pick-side", "trained"); said.push(count("answers"));
    document.title = said.join(",");
    """
    assert "<title>2,1,0 shown,2,1</title>" in opened(tmp_path, page(), script)


def test_a_right_to_left_text_is_laid_out_from_the_right(tmp_path: Path) -> None:
    arabic = rows.result("base", 1, False, language="ar", reasoning="لنفكر في هذا السؤال.\nLet us go.", answer="ثلاثة")
    script = 'document.title = getComputedStyle(document.querySelector(".think")).direction'
    assert "<title>rtl</title>" in opened(tmp_path, page(asked=asked([arabic], WAYS, 5)), script)


def test_a_picture_can_be_taken_of_the_page(tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    file.write_text(report.render(page()), "utf-8")
    assert browser.picture(file, tmp_path / "page.png").startswith(b"\x89PNG")


def test_the_same_prompts_are_shown_whatever_the_order_of_the_rows() -> None:
    numbers = [(language, number) for language in ("ru", "de") for number in range(100)] * 2
    forwards = sample(numbers, lambda row: row[0], lambda row: row[1], 3)
    backwards = sample(reversed(numbers), lambda row: row[0], lambda row: row[1], 3)
    assert sorted(forwards) == sorted(backwards)
    assert [len(group) for group in forwards] == [2] * 6


def test_a_report_of_nothing_says_what_to_do(hub_server: str, name: str) -> None:
    recipe: Any = SimpleNamespace(name=name, train=SimpleNamespace(student="a/b"), stages=STAGES)
    run: Any = report.Run(recipe, hub.connect(None), SimpleNamespace())
    with pytest.raises(StageError, match="run the recipe first"):
        report.collect(run, 5)


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200), st.sampled_from(["ru", "xx", "ar"]))
def test_a_marked_text_is_the_whole_text(text: str, own: str) -> None:
    assert "".join(span.text for span in marked(text, own)).replace("\n", "") == visible(text).replace("\n", "")


def test_what_a_terminal_obeys_or_a_reader_is_deceived_by_is_written_out() -> None:
    assert visible("a\x1b[31mb\x07\u202ec\x9b\r\nd\re\t") == "a\\x1b[31mb\\x07\\u202ec\\x9b\nd\\x0de\t"
    assert html.escape(visible("\u2066\ud800")) == "\\u2066\\ud800"
