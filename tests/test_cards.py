"""cards.py: cards say what the facts say, and nothing out of a data set, a model or a recipe becomes markup."""

import ast
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token
from rows import result

from pipelines.cards import data_card, fenced, model_card, moment
from pipelines.estimates import Estimate, Paired
from pipelines.examples import Pair
from pipelines.facts import Facts, Input, Past, Spent, Usage
from pipelines.measures import TITLES, Difference, Line
from pipelines.recipe import Evaluate, Recipe
from pipelines.run import Run
from pipelines.tables import escape
from pipelines.training.job import Check, Excerpt, Measure, Part, Report, Tokens

ENDPOINT = "http://127.0.0.1:8500"
STAGES = ("prompts", "generate", "judge", "choose", "evaluate")
FILES = ("README.md", "run/judge.json", "data/no/1.parquet", "data/ru/2.parquet", "failures/ru/4.parquet")
NASTY = (
    "a | b",
    "`",
    "``` \n```\n# heading",
    "---",
    "===",
    "- item",
    "1. item",
    "> quote",
    "# heading",
    "<script>alert(1)</script>",
    "<!-- -->",
    "[x](javascript:alert(1))",
    "![x](http://evil.example/x.png)",
    "[x]: http://evil.example",
    "**bold** _it_ ~~no~~",
    "$$x$$",
    "&lt;b&gt;",
    "\\",
    "a\n\n---\nlanguage: xx\n---\n\n# b",
    "\u202eright\u202c to left",
    "{{ 7 * 7 }} {% raw %}",
    "no",
    "x\x00y\r\nz",
)


def run(text: str = "plain", languages: Sequence[str] = ("ru", "no")) -> Run:
    """A run whose recipe says `text` wherever it may say anything."""
    problems: dict[str, Any] = {"kind": "problems", "families": [text, text], "rows": 7}
    sources = [
        {"kind": "hub", "id": f"{text}/{text}", "config": text, "split": text, "text": "q", "language": text},
        {"kind": "gym", "task": text, "rows": 5},
        problems,
    ]
    judges = [
        {"kind": "rubric", "name": text, "engine": "e", "instruction": text, "least": 3},
        {"kind": "likelihood", "name": f"{text} too", "engine": "e"},
    ]
    recipe = {
        "name": "demo",
        "license": text,
        "languages": languages,
        "imports": [
            {"repo": text, "file": "f", "sha256": "0" * 64, "path": "p", "origin": text, "license": text},
        ],
        "engines": {"e": {"kind": "llamacpp", "model": text, "file": "f.gguf"}},
        "prompts": {"sources": sources, "translate": {"engine": "e"}},
        "generate": {"engine": "e"},
        "judge": {"judges": judges},
        "train": {"student": f"org/{text}"},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": text, "model": "base", "instruction": text}],
            "benchmarks": [{"name": text, "source": problems}],
        },
    }
    hub: Any = SimpleNamespace(api=SimpleNamespace(endpoint=ENDPOINT), repo=lambda name: f"me/{name}")
    screen: Any = None
    return Run(Recipe.model_validate(recipe), hub, screen)


def report(text: str) -> Report:
    parts = (Part(trained=False, text=text), Part(trained=True, text=f"{text}\n```\n# {text}"))
    tokens = {text: Tokens(rows=1, tokens=2, trained=3, cut=0)}
    check = Check(
        template=text,
        why=text,
        template_digest=text,
        max_length=None,
        measure=Measure(languages=tokens, lengths=((128, 1),), longest=100),
        found={text: text},
        excerpts=(Excerpt(language=text, parts=parts),),
    )
    arguments = {text: text, "learning_rate": 0.0003}
    loss = tuple((step, 2 / step) for step in range(1, 41))
    return Report(check=check, arguments=arguments, steps=40, tokens=56789, seconds=61.0, resumed=0, loss=loss)


def trained(text: str) -> dict[str, Any]:
    made = report(text).model_dump(mode="json")
    made |= {"sft": made.pop("arguments"), "training_seconds": made.pop("seconds"), "lora": {text: text}}
    return made


def facts(stage: str, text: str = "plain", **changed: object) -> Facts:
    told: dict[str, Any] = {
        "stage": stage,
        "recipe": text,
        "digest": text,
        "complete": True,
        "inputs": (Input(repo=f"{text}/{text}", kind="dataset", revision="c" * 40),),
        "models": (
            Input(repo=f"{text}/{text}", kind="model", revision=text),
            Input(repo="gpt", kind="model", revision=""),
        ),
        "instructions": (text,),
        "counts": {"ru": {"generated": 1200, text: 7}, text: {"generated": 34}},
        "usage": Usage(requests=1234, prompt_tokens=5678, completion_tokens=91011),
        "spent": (Spent(model=text, dollars=1.5, gpu_hours=2.25), Spent(model="other", usage=Usage(requests=3))),
        "seconds": 3725.0,
        "updated": text,
        "machine": text,
        "source": text,
        "licences": {text: text, f"{text} too": ""},
        "details": trained(text),
    }
    return Facts(**{**told, **changed})


def line(text: str = "plain", items: int = 100) -> Line:
    return Line(text, text, text, items, 1, dict.fromkeys(TITLES, Estimate(0.5, 0.4, 0.6)))


def reinforced(text: str) -> dict[str, Any]:
    measure = {"first": 0.25, "last": 0.5, "difference": [0.25, 0.1, 0.4], "p": 0.04}
    return {
        "terms": {text: 1.0},
        "prompts": {text: {"verifiable": 3, text: 1}},
        "rise": {"prompts": 2, "measures": {text: measure, "right": {**measure, "p": None}}},
        "curve": [[step, -1.0, 0.0, 0.0] for step in range(1, 30)],
        "written_by": text,
        "opened": True,
        "grpo": {text: text},
        "lora": {text: text},
    }


def card(stage: str, text: str = "plain", languages: Sequence[str] = ("ru", "no")) -> str:
    """`rollouts` is the data set of *reinforce*, `reinforce` its model."""
    given = run(text, languages)
    if stage in ("reinforce", "rollouts"):
        told = facts("reinforce", text, details=reinforced(text))
        return model_card(given, told) if stage == "reinforce" else data_card(given, f"me/{text}", told, FILES)
    if stage != "train":
        return data_card(given, f"me/{text}", facts(stage, text), FILES)
    difference = Difference(text, text, "joint", text, text, 100, 0, Paired(0.2, 0.1, 0.3, 0.01, 0.05), 0.02)
    rows = [
        result(
            way, 1, joint=True, reasoning=f"{text}\n```\n# x", answer=text, question=text, benchmark=text, language=text
        )
        for way in ("base", text)
    ]
    return model_card(given, facts(stage, text), [line(text)], [difference], [Pair(*rows)])


def split(text: str) -> tuple[Any, str]:
    assert text.startswith("---\n")
    front, body = text.removeprefix("---\n").split("\n---\n", 1)
    return yaml.safe_load(front), body


def parsed(markdown: str) -> list[Token]:
    """All tokens, those inside of lines among them. HTML is let through, so that it would be seen."""
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return [inner for token in parser.parse(markdown) for inner in (token, *(token.children or ()))]


def shape(markdown: str) -> list[tuple[str, str]]:
    return [(token.type, token.tag) for token in parsed(markdown)]


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs"]) | st.sampled_from("\n\t|`*_[]()<>#-=+~$\\&!:0123."))
)
@settings(deadline=None)
def test_escaped_text_is_one_line_that_reads_the_same(text: str) -> None:
    table = parsed(f"| a |\n| --- |\n| x{escape(text)} |\n")
    assert [token.type for token in table].count("td_open") == 1
    for markdown in (f"| a |\n| --- |\n| x {escape(text)} |\n", f"x {escape(text)}"):
        last = [token.content for token in parsed(markdown) if token.type == "text"][-1]
        assert last == " ".join(f"x {text}".split())


@pytest.mark.parametrize("text", NASTY)
def test_nasty_text_escaped_is_a_plain_paragraph_wherever_it_stands(text: str) -> None:
    for before, plain in (
        ("", "x"),
        ("- ", "- x"),
        ("a\n", "a\nx"),
        ("> ", "> x"),
        ("| a |\n| --- |\n| ", "| a |\n| --- |\n| x"),
    ):
        assert shape(before + escape(text)) == shape(plain)


@pytest.mark.parametrize("stage", [*STAGES, "train", "reinforce", "rollouts"])
def test_no_value_changes_the_structure_the_links_or_the_front_matter_of_a_card(stage: str) -> None:
    usual = shape(split(card(stage))[1])
    for text in NASTY:
        front, body = split(card(stage, text, languages=("no", text)))
        assert shape(body) == usual
        links = [str(token.attrs["href"]) for token in parsed(body) if token.type == "link_open"]
        assert links
        assert all(target.startswith(f"{ENDPOINT}/") for target in links)
        assert (front["language"], front["license"]) == (["no", text], text)


def test_there_is_a_config_for_each_language_that_has_rows_and_for_nothing_else() -> None:
    front, _ = split(data_card(run(), "me/x", facts("judge"), FILES))
    assert [config["config_name"] for config in front["configs"]] == ["ru", "no", "failures"]
    assert [config.get("default", False) for config in front["configs"]] == [True, False, False]
    assert "configs" not in split(data_card(run(), "me/x", facts("judge"), ["README.md", "run/judge.json"]))[0]


def test_datasets_loads_what_the_card_offers(tmp_path: Path) -> None:
    import datasets

    for language, value in (("ru", 1), ("no", 2)):
        (tmp_path / "repo/data" / language).mkdir(parents=True)
        pq.write_table(pa.table({"value": [value]}), tmp_path / f"repo/data/{language}/1.parquet")
    files = [str(path.relative_to(tmp_path / "repo")) for path in tmp_path.rglob("*.parquet")]
    (tmp_path / "repo/README.md").write_text(data_card(run(), "me/x", facts("choose"), files))
    for config, value in ((None, 1), ("ru", 1), ("no", 2)):
        rows = datasets.load_dataset(str(tmp_path / "repo"), config, split="train", cache_dir=str(tmp_path / "cache"))
        assert rows["value"] == [value]


def test_an_unfinished_run_and_failed_samples_are_told_at_the_top() -> None:
    def top(complete: bool = True, failures: int = 0) -> str:
        told = facts("judge", complete=complete, failures=failures)
        return split(data_card(run(), "me/x", told, FILES))[1].split("##")[0]

    assert "under way" in top(complete=False)
    assert "under way" not in top()
    assert "3 samples failed" in top(failures=3)
    assert "failed" not in top()


def test_numbers_of_the_facts_stand_in_the_card() -> None:
    body = split(card("judge"))[1]
    for number in ("| 1,200 | 7 |", "| 1,234 | 7 |", "1,234 requests", "5,678", "91,011", "1 h 02 min"):
        assert number in body


def test_a_card_tells_what_the_stages_before_took() -> None:
    used = Spent(model="m", usage=Usage(requests=1200, prompt_tokens=3000, completion_tokens=4000), dollars=2.5)
    model = Input(repo="org/m", kind="model", revision="d" * 40)
    past = Past(
        stage="generate", repo="me/demo-candidates", revision="e" * 40, models=(model,), spent=(used,), seconds=90
    )
    body = data_card(run(), "me/demo", facts("choose", history=(past,)), FILES)
    assert (
        "at eeeeeeeeeeee | org/m at dddddddddddd | 1,200 requests, 7,000 tokens, US dollars 2.50, 1 min 30 s |" in body
    )


def test_the_card_of_the_chosen_rows_shows_one_whatever_it_says() -> None:
    for text in NASTY:
        shown = [{"language": "ru", "user": text, "assistant": f"<think>\n{text}\n</think>\n\n```\n# {text}"}]
        usual = [{"language": "ru", "user": "q", "assistant": "a"}]
        body, plain = (
            data_card(run(), "me/x", facts("choose", details={"examples": rows}), FILES) for rows in (shown, usual)
        )
        assert shape(split(body)[1]) == shape(split(plain)[1])
    assert "## Example" in plain


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2026-11-25T16:05:14+00:00", "2026-11-25 16:05 UTC"),
        ("2026-11-25T16:05:14+02:00", "2026-11-25 14:05 UTC"),
        ("<b>", "<b>"),
    ],
)
def test_a_time_is_told_in_one_form(text: str, told: str) -> None:
    assert moment(text) == told


def test_a_hub_that_clients_ask_by_themselves_is_not_named() -> None:
    given = run()
    assert "HF_ENDPOINT" in data_card(given, "me/x", facts("choose"), FILES)
    given.hub.api.endpoint = "https://huggingface.co"
    assert "HF_ENDPOINT" not in data_card(given, "me/x", facts("choose"), FILES)


def test_the_card_of_the_judged_rows_tells_what_the_order_of_the_checks_spared() -> None:
    judges = [
        {"judge": "fluency", "opinions": 2, "tokens": 200, "everything": 400},
        {"judge": "logic", "opinions": 1, "tokens": 1200, "everything": 4800},
    ]
    told = facts("judge", details={"cascade": {"rows": 4, "accepted": 2, "judges": judges}})
    body = data_card(run(), "me/x", told, FILES)
    assert "| logic | 1 | 1,200 | 4,800 |" in body
    assert "took 700 tokens for each sample that was accepted; 2,600 had each been asked about every sample." in body
    assert "had each been asked" not in card("judge")


def test_a_card_says_how_a_judge_scores_and_in_which_image_it_was_made() -> None:
    recipe = run().recipe
    judge = recipe.judge.judges[0].model_copy(update={"expected": True})
    given = Run(
        recipe.model_copy(update={"judge": recipe.judge.model_copy(update={"judges": (judge,)})}),
        run().hub,
        run().screen,
    )
    body = data_card(given, "me/x", facts("judge", image="ghcr.io/o/r/judge@sha256:aa"), FILES)
    assert "scores from 1 to 5, the mean of them by the weight that it gives to each, told plain" in body
    assert "- Image: ghcr.io/o/r/judge@sha256:aa" in body
    assert "by the weight" not in card("judge")
    assert "- Image" not in data_card(run(), "me/x", facts("judge"), FILES)


@pytest.mark.parametrize(("rows", "size"), [(999, "n<1K"), (1000, "1K<n<10K"), (10**6, "1M<n<10M"), (10**7, "n>10M")])
def test_the_size_category_counts_all_rows(rows: int, size: str) -> None:
    told = facts("judge", counts={"ru": {"generated": rows - 1, "structure": 5}, "no": {"generated": 1}})
    assert split(data_card(run(), "me/x", told, FILES))[0]["size_categories"] == [size]
    assert "size_categories" not in split(data_card(run(), "me/x", facts("judge", counts={}), FILES))[0]


@pytest.mark.parametrize("stage", STAGES)
def test_inputs_and_models_are_links_to_the_commit(stage: str) -> None:
    links = [str(token.attrs["href"]) for token in parsed(split(card(stage))[1]) if token.type == "link_open"]
    assert f"{ENDPOINT}/datasets/plain/plain/tree/{'c' * 40}" in links
    assert f"{ENDPOINT}/plain/plain/tree/plain" in links


def test_a_model_card_tells_whether_the_model_was_evaluated() -> None:
    before = model_card(run(), facts("train"))
    assert "Not evaluated yet" in before
    after = card("train")
    assert "Not evaluated yet" not in after
    assert "50 (40–60)" in after
    assert "+20 (+10..+30)" in after
    assert split(after)[0]["base_model"] == ["plain/plain", "gpt"]


def test_a_model_card_shows_how_it_was_trained_and_ends_with_the_last_loss() -> None:
    text = card("train")
    for shown in ("40 steps", "56,789 tokens", "1 min 01 s", "| learning\\_rate | 0.0003 |", "| 40 | 0.05 |"):
        assert shown in text
    assert len([line for line in text.splitlines() if line.startswith("| 4") or line.startswith("| 3")]) < 9


def test_the_trained_models_shares_stand_in_the_metadata_as_the_hubs_clients_read_them() -> None:
    ways = [
        {"name": name, "model": model, "instruction": "plain.v1"} for name, model in (("b", "base"), ("t", "trained"))
    ]
    recipe = run().recipe
    hub_source = {"kind": "hub", "id": "juletxara/mgsm", "text": "q", "language": "ru"}
    told = recipe.model_dump(mode="json")["evaluate"] | {
        "ways": ways,
        "benchmarks": [{"name": "MGSM", "source": hub_source}],
    }
    given = Run(recipe.model_copy(update={"evaluate": Evaluate.model_validate(told)}), run().hub, run().screen)
    nothing = dict.fromkeys(TITLES, Estimate(float("nan"), float("nan"), float("nan")))
    lines = [
        Line(way, "MGSM", language, 250, 1, values)
        for way in ("b", "t")
        for language, values in (("ru", line().values), ("sw", nothing), ("all", line().values))
    ]
    data = ModelCard(model_card(given, facts("train"), lines)).data
    found = {(one.dataset_type, one.dataset_config, one.metric_type): one.metric_value for one in data.eval_results}
    measured = {"joint", "accuracy", "language_consistency"}
    assert found == {("juletxara/mgsm", "ru", metric): 0.5 for metric in measured}


def test_a_model_card_needs_no_details() -> None:
    assert "Not evaluated yet" in model_card(run(), facts("train", details={}, counts={}))


def test_code_in_a_card_is_python_that_names_the_repo() -> None:
    for stage in (*STAGES, "train"):
        code = [token.content for token in parsed(split(card(stage))[1]) if token.info == "python"]
        constants = [node.value for node in ast.walk(ast.parse(code[0])) if isinstance(node, ast.Constant)]
        assert {"me/plain", "me/demo-plain"} & set(constants)


@given(st.text() | st.sampled_from(NASTY))
@settings(deadline=None)
def test_a_text_cannot_close_the_fence_around_it(text: str) -> None:
    assert shape(f"{fenced(text)}\n\nafter") == shape("```\n```\n\nafter")


def test_a_card_shows_the_plots_that_lie_beside_it_and_no_others() -> None:
    funnel = "![How many were kept, and at which step the others were lost, per language](plots/funnel.png)"
    assert funnel in data_card(run(), "me/x", facts("judge"), [*FILES, "plots/funnel.png"])
    assert "plots/" not in data_card(run(), "me/x", facts("judge"), FILES)
    assert "](plots/scores.png)" in model_card(run(), facts("train"), [line("b")], files=["plots/scores.png"])
