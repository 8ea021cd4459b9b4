"""What is wrong in a recipe is one line that names the file, the key and what is allowed; what its digest covers."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines import instructions, recipes
from pipelines.errors import RecipeError
from pipelines.recipe import STAGES, Recipe, RubricJudge

ROOT = Path(__file__).parent.parent
SHIPPED = sorted(path.stem for path in recipes.FOLDER.glob("*.yaml"))

TREE: dict[str, Any] = {
    "name": "small",
    "languages": ["ru", "uk"],
    "engines": {
        "writer": {"kind": "openai", "model": "w", "url": "http://127.0.0.1:1/v1"},
        "reader": {"kind": "openai", "model": "r", "url": "http://127.0.0.1:1/v1"},
    },
    "prompts": {
        "sources": [
            {"kind": "problems", "families": ["ages"], "rows": 5},
            {"kind": "hub", "id": "a/b", "text": "question", "language": "en"},
        ],
        "translate": {"engine": "reader"},
    },
    "generate": {"engine": "writer"},
    "judge": {"judges": [{"kind": "rubric", "name": "fluency", "engine": "reader", "instruction": "fluency.v1"}]},
    "train": {"student": "a/b", "lora": {"r": 8}},
    "evaluate": {
        "engine": "writer",
        "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
        "benchmarks": [{"name": "b", "source": {"kind": "gym", "task": "chain_sum", "rows": 3}}],
    },
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(TREE), "utf-8")
    return path


def refusal(path: Path | str, *overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        recipes.load(str(path), overrides)
    text = str(caught.value)
    assert "\n" not in text
    return text


# --- what is wrong


@pytest.mark.parametrize(
    ("override", "allowed"),
    [
        ("wrong=1", "checkpoints, choose, engines"),
        ("generate.wrong=1", "engine, instruction, samples, sampling"),
        ("generate.sampling.wrong=1", "max_tokens, repetition_penalty, temperature, top_p"),
        ("engines.writer.wrong=1", "api_key, arguments, batch, context"),
        ("prompts.sources.0.wrong=1", "families, kind, rows, seed"),
        (
            "prompts.sources.1.wrong=1",
            "config, files, gold, gold_pattern, id, kind, language, revision, rows, split, text",
        ),
        ("judge.judges.0.wrong=1", "engine, expected, instruction, kind, least, name"),
        ("evaluate.benchmarks.0.wrong=1", "answer, languages, name, prompt, source"),
        ("evaluate.benchmarks.0.source.wrong=1", "kind, rows, seed, settings, task"),
        ("evaluate.ways.0.wrong=1", "english, instruction, model, name"),
        ("train.lora.wrong=1", "lora_alpha, lora_dropout, r, target_modules"),
        ("prompts.translate.wrong=1", "engine, instruction, max_tokens"),
    ],
)
def test_an_unknown_key_is_named_with_those_that_are_allowed(override: str, allowed: str, file: Path) -> None:
    key = override.partition("=")[0]
    told = refusal(file, override)
    assert told.startswith(f"{file}: {key}: unknown key; allowed here: ")
    assert allowed in told


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("generate.samples=many", "valid integer"),
        ("generate.samples=0", "greater than or equal to 1"),
        ("generate.sampling.top_p=1.5", "less than or equal to 1"),
        ("engines.writer.kind=magic", "'llamacpp'"),
        ("engines.writer.parallel=0", "greater than or equal to 1"),
        ("evaluate.ways.0.model=other", "'base', 'trained', 'merged' or 'reinforced'"),
        ("judge.judges.0.least=9", "less than or equal to 5"),
        ("prompts.sources.0.rows=few", "valid integer"),
        ("train.accelerate=zero9", "'zero3'"),
        ("name=no spaces", "match pattern"),
        ("languages=ru", "tuple"),
        ("languages=[]", "at least 1 item"),
        ("train.lora=7", "Lora"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_allowed(override: str, said: str, file: Path) -> None:
    told = refusal(file, override)
    assert told.startswith(f"{file}: {override.partition('=')[0]}: ")
    assert said in told


def test_a_wrong_kind_of_source_is_told_the_kinds_there_are(file: Path) -> None:
    told = refusal(file, "prompts.sources.0.kind=web")
    assert told.startswith(f"{file}: prompts.sources.0: ")
    assert all(kind in told for kind in ("hub", "gym", "problems"))


@pytest.mark.parametrize("key", ["name", "train.student", "generate.engine", "engines.writer.model"])
def test_a_missing_key_is_named(key: str, tmp_path: Path) -> None:
    tree: dict[str, Any] = yaml.safe_load(yaml.safe_dump(TREE))
    *parents, last = key.split(".")
    node = tree
    for part in parents:
        node = node[part]
    del node[last]
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree), "utf-8")
    assert refusal(path).startswith(f"{path}: {key}: missing")


@pytest.mark.parametrize(
    "key", ["prompts.translate.engine", "generate.engine", "evaluate.engine", "judge.judges.0.engine"]
)
def test_an_unknown_engine_is_named_with_those_there_are(key: str, file: Path) -> None:
    told = refusal(file, f"{key}=nobody")
    assert told.startswith(f"{file}: ")
    assert key.replace(".0.", ".fluency.") in told
    assert "'nobody'; there are: reader, writer" in told


@pytest.mark.parametrize("column", ["logic", "-logic", ""])
def test_an_unknown_rank_column_is_named_with_those_there_are(column: str, file: Path) -> None:
    assert f"choose.rank names {column!r}; there are: fluency, tokens" in refusal(file, f"choose.rank=['{column}']")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("engines.writer.url=null", "kind openai needs url"),
        ("engines.writer.url=localhost:8000/v1", "url must be an address such as"),
        ("engines.writer.url=https://me:secret@host/v1", "url must be an address such as"),
        ("engines.writer={kind: llamacpp, model: m}", "kind llamacpp needs file"),
        ("imports=[{repo: a/b, file: f, sha256: '%s', origin: o, license: l}]" % ("0" * 64), "either path or wheels"),
        ("imports=[{repo: a/b, file: f, sha256: abc, path: p, origin: o, license: l}]", "match pattern"),
    ],
)
def test_what_only_fits_together_is_told_in_words(override: str, said: str, file: Path) -> None:
    assert said in refusal(file, override)


def test_more_than_one_mistake_is_counted(file: Path) -> None:
    assert refusal(file, "generate.samples=0", "generate.wrong=1").endswith("(and 1 more)")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("generate.samples", "write --set key=value"),
        ("prompts.sources.2.rows=1", "2 must be a number from 0 to 1"),
        ("prompts.sources.first.rows=1", "first must be a number from 0 to 1"),
        ("prompts.sources.-1.rows=1", "-1 must be a number from 0 to 1"),
        ("name.part=1", "name is a value, not a section"),
    ],
)
def test_a_wrong_override_is_named_with_how_to_write_it(override: str, said: str, file: Path) -> None:
    told = refusal(file, override)
    assert told.startswith(f"--set {override}: ")
    assert said in told


@pytest.mark.parametrize("value", ["[", "{a", "'", "a: b: c", "!!python/object:os.system {}"])
def test_an_override_that_is_not_yaml_is_one_line(value: str, file: Path) -> None:
    assert refusal(file, f"generate.samples={value}").startswith("--set generate.samples=")


@pytest.mark.parametrize("content", [b"name: [unclosed", b"\xff\xfe\x00", b"a: b: c", b"!!python/object:os.system {}"])
def test_a_file_that_is_not_yaml_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(content)
    assert refusal(path).startswith(f"{path} is not YAML")


@pytest.mark.parametrize("content", ["", "- a\n- b\n", "just text"])
def test_a_file_without_keys_is_one_line(content: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(content)
    assert refusal(path).startswith(f"{path} holds no mapping")


def test_a_recipe_that_is_not_there_is_told_the_shipped_ones() -> None:
    assert refusal("no-such-recipe").endswith(", ".join(SHIPPED))


@pytest.mark.parametrize("arguments", [("generate", "no-such-recipe"), ("run", "demo", "--set", "generate.wrong=1")])
def test_the_command_line_says_it_in_one_line_and_exits_2(arguments: tuple[str, ...]) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "pipelines", *arguments],
        cwd=ROOT,
        env={**os.environ, "HF_ENDPOINT": "http://127.0.0.1:1"},
        capture_output=True,
        text=True,
    )
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: ")
    assert len(ended.stderr.splitlines()) == 1


# --- overrides


def test_overrides_reach_every_depth_with_values_in_yaml(file: Path) -> None:
    loaded = recipes.load(
        str(file),
        [
            "generate.samples=3",
            "generate.sampling.temperature=0.1",
            "prompts.sources.0.rows=9",
            "prompts.sources.0.families=[ages, work]",
            "judge.judges.0.least=4",
            "private=true",
            "prompts.translate=null",
            "engines.reader.api_key=A=B",
        ],
    )
    assert loaded.generate.samples == 3
    assert loaded.generate.sampling.temperature == 0.1
    assert loaded.prompts.sources[0].rows == 9
    assert loaded.prompts.sources[0].model_dump()["families"] == ("ages", "work")
    assert loaded.judge.judges[0].model_dump()["least"] == 4
    assert loaded.private is True
    assert loaded.prompts.translate is None
    assert loaded.engines["reader"].api_key == "A=B"


def test_the_last_override_of_a_key_wins(file: Path) -> None:
    assert recipes.load(str(file), ["seed=1", "seed=2"]).seed == 2


def test_an_option_of_the_command_line_replaces_the_recipes_own(file: Path) -> None:
    loaded = recipes.load(str(file), limit=5, languages=["uk"])
    assert (loaded.limit, loaded.languages) == (5, ("uk",))
    assert recipes.load(str(file), limit=None, languages=None).languages == ("ru", "uk")


# --- the digest


def digests(loaded: Recipe) -> dict[str, str]:
    return {stage: loaded.digest(stage) for stage in STAGES}


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("generate.samples=3", {"generate"}),
        ("generate.sampling.temperature=0.1", {"generate"}),
        ("prompts.sources.0.rows=9", {"prompts"}),
        ("prompts.translate.max_tokens=9", {"prompts"}),
        ("judge.purity=0.5", {"judge"}),
        ("judge.judges.0.least=4", {"judge"}),
        ("choose.per_prompt=2", {"choose"}),
        ("train.lora.r=4", {"train"}),
        ("evaluate.samples=2", {"evaluate"}),
        ("engines.writer.model=other", {"generate", "evaluate"}),
        ("engines.reader.model=other", {"prompts", "judge"}),
        ("engines.reader.revision=v2", {"prompts", "judge"}),
        ("seed=5", set(STAGES)),
        ("languages=[ru]", set(STAGES)),
        ("limit=5", set(STAGES)),
        ("engines.writer.parallel=3", set()),
        ("engines.writer.url=http://127.0.0.1:2/v1", set()),
        ("checkpoints.rows=5", set()),
        ("private=true", set()),
        ("license=mit", set()),
    ],
)
def test_the_digest_changes_for_the_stages_that_depend_on_it_and_no_others(
    override: str, stages: set[str], file: Path
) -> None:
    before, after = digests(recipes.load(str(file))), digests(recipes.load(str(file), [override]))
    assert {stage for stage in STAGES if before[stage] != after[stage]} == stages


def test_the_digest_is_the_same_in_another_process(file: Path) -> None:
    program = f"from pipelines import recipes; print(recipes.load({str(file)!r}).digest('generate'))"
    printed = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == recipes.load(str(file)).digest("generate")


# --- what is shipped


@pytest.fixture(params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> Recipe:
    return recipes.load(request.param)


def test_the_recipes_that_are_promised_are_shipped() -> None:
    assert {"demo", "lightblue", "russian"} <= set(SHIPPED)


def test_every_instruction_of_a_shipped_recipe_exists_for_all_of_its_languages(shipped: Recipe) -> None:
    names = {shipped.generate.instruction, *(way.instruction for way in shipped.evaluate.ways)}
    names |= {judge.instruction for judge in shipped.judge.judges if isinstance(judge, RubricJudge)}
    if shipped.prompts.translate:
        names.add(shipped.prompts.translate.instruction)
    for name in names:
        for language in shipped.languages:
            assert instructions.load(name, language).turns


def test_a_shipped_recipe_uses_every_engine_that_it_describes(shipped: Recipe) -> None:
    assert {name for _, name in shipped._engine_references()} == set(shipped.engines)


def test_a_shipped_recipe_holds_no_key_but_the_names_of_variables(shipped: Recipe) -> None:
    keys = [engine.api_key for engine in shipped.engines.values() if engine.api_key]
    assert all(key.isupper() for key in keys)


def test_families_held_out_by_the_demo_never_occur_in_its_training() -> None:
    demo = recipes.load("demo")
    families: Callable[[Any], set[str]] = lambda source: set(getattr(source, "families", ()))  # noqa: E731
    trained = set().union(*map(families, demo.prompts.sources))
    unseen = next(one for one in demo.evaluate.benchmarks if "unseen" in one.name)
    assert families(unseen.source)
    assert not families(unseen.source) & trained


def test_a_recipe_that_extends_another_says_only_what_it_changes(file: Path, tmp_path: Path) -> None:
    more = tmp_path / "more.yaml"
    more.write_text(f"extends: {file}\nseed: 9\ngenerate: {{samples: 3}}\nlanguages: [uk]\n", "utf-8")
    base, changed = recipes.load(str(file)), recipes.load(str(more))
    assert (changed.seed, changed.generate.samples, changed.languages) == (9, 3, ("uk",))
    assert changed.generate.engine == base.generate.engine
    assert changed.evaluate == base.evaluate
    more.write_text("extends: nothing-there\n", "utf-8")
    with pytest.raises(RecipeError, match="there is no recipe 'nothing-there'"):
        recipes.load(str(more))


def test_the_demos_reinforcement_goes_on_from_what_the_demo_made() -> None:
    demo, more = recipes.load("demo"), recipes.load("demo-reinforce")
    assert more.name == demo.name
    assert {stage for stage in demo.stages if demo.digest(stage) != more.digest(stage)} == {"evaluate"}
    assert more.evaluate.ways[: len(demo.evaluate.ways)] == demo.evaluate.ways
