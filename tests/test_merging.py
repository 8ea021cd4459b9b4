"""The trained weights averaged with the student's own: in safetensors, and over the Hub."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_student
from transformers import AutoModelForCausalLM

from pipelines import facts, recipes
from pipelines.errors import RecipeError, StageError
from pipelines.facts import Facts, Input
from pipelines.hub import connect
from pipelines.recipe import Recipe
from pipelines.run import Run
from pipelines.screen import Screen
from pipelines.training import averaging, merged
from pipelines.training.launch import ROOT

Weights = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def student(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_student(tmp_path_factory.mktemp("student"), tie_word_embeddings=True)


@pytest.fixture(scope="module")
def trained(student: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The student, its weights moved at random, in several files."""
    folder = tmp_path_factory.mktemp("trained")
    model: Any = AutoModelForCausalLM.from_pretrained(student, dtype=torch.bfloat16)
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight))
    model.save_pretrained(folder, max_shard_size="40KB")
    assert len(list(folder.glob("*.safetensors"))) > 1
    return folder


def all_of(folder: Path) -> Weights:
    return {name: value for path in folder.glob("*.safetensors") for name, value in load_file(path).items()}


def changed(student: Path, folder: Path, change: Callable[[Weights], object]) -> Path:
    weights = all_of(student)
    change(weights)
    folder.mkdir()
    save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize("share", [0.5, 0.25])
def test_every_tensor_is_the_weighted_average_and_transformers_loads_the_whole(
    student: Path, trained: Path, tmp_path: Path, share: float
) -> None:
    tensors = averaging.merge(student, trained, tmp_path, share)
    base, ours, both = all_of(student), all_of(trained), all_of(tmp_path)
    assert tensors == len(both) > 20
    assert base.keys() == ours.keys() == both.keys()
    for name, value in both.items():
        expected = ((1 - share) * base[name].double() + share * ours[name].double()).float()
        torch.testing.assert_close(value.float(), expected, atol=1e-6, rtol=2**-8)
        assert value.dtype == torch.bfloat16
    for name in ("config.json", "model.safetensors.index.json"):
        (tmp_path / name).write_bytes((trained / name).read_bytes())
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path)
    torch.testing.assert_close(model.model.norm.weight.data, both["model.norm.weight"])


def test_a_student_in_float32_and_with_its_tied_head_written_out_is_merged(
    student: Path, trained: Path, tmp_path: Path
) -> None:
    def change(weights: Weights) -> None:
        for name in weights:
            weights[name] = weights[name].float()
        weights[averaging.TIED] = weights["model.embed_tokens.weight"].clone()

    averaging.merge(changed(student, tmp_path / "float32", change), trained, tmp_path, 0.5)
    averaging.merge(student, trained, tmp_path / "float32", 0.5)
    (tmp_path / "float32" / "model.safetensors").unlink()
    expected = all_of(tmp_path / "float32")
    assert all(torch.equal(value, expected[name]) for name, value in all_of(tmp_path).items())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda weights: weights.pop("model.norm.weight"), "only the trained model has the tensor model.norm.weight"),
        (lambda weights: weights.update(more=torch.ones(1)), "only the student has the tensor more"),
        (lambda weights: weights.update({"model.norm.weight": torch.ones(3)}), r"is \[3\] in the student and \[32\]"),
        (lambda weights: weights.update({"model.norm.weight": torch.ones(32).char()}), "is I8 in the student and BF16"),
    ],
)
def test_checkpoints_that_do_not_agree_are_refused_by_tensor_and_nothing_is_written(
    student: Path, trained: Path, tmp_path: Path, change: Callable[[Weights], object], why: str
) -> None:
    output = tmp_path / "output"
    output.mkdir()
    with pytest.raises(StageError, match=why):
        averaging.merge(changed(student, tmp_path / "other", change), trained, output, 0.5)
    assert not list(output.iterdir())


def test_a_student_without_safetensors_is_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no safetensors"):
        averaging.merge(tmp_path, trained, tmp_path, 0.5)


def test_no_model_is_in_memory_as_a_whole(trained: Path, tmp_path: Path) -> None:
    # a process of its own: 2 x 48 tensors of 2 MB each; the second half of them adds no quarter of itself
    for name in ("base", "ours", "output"):
        (tmp_path / name).mkdir()
    for name in ("base", "ours"):
        save_file(
            {f"t{number}": torch.full((1024, 1024), 1.5).bfloat16() for number in range(48)},
            tmp_path / name / "model.safetensors",
        )
    (tmp_path / "ours" / "config.json").write_bytes((trained / "config.json").read_bytes())
    measured = (
        "import sys; from pathlib import Path; from pipelines.training import averaging\n"
        "def held(): return int(next(x for x in open('/proc/self/status') if 'RssAnon' in x).split()[1]) // 1024\n"
        "seen, average = [], averaging._average\n"
        "def watched(*given):\n"
        "    made = average(*given); seen.append(held()); return made\n"
        "averaging._average = watched\n"
        "averaging.merge(*map(Path, sys.argv[1:]), 0.5); print(max(seen) - max(seen[:24]))"
    )
    folders = [str(tmp_path / name) for name in ("base", "ours", "output")]
    ended = subprocess.run([sys.executable, "-c", measured, *folders], cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < 24 * 2 / 4


# --- over the Hub


@pytest.fixture
def run(hub_server: str, name: str, student: Path, trained: Path) -> Run:
    """A student and what was made of it, on the Hub."""
    hub = connect(None)
    tree = {
        "name": name,
        "languages": ["ru"],
        "engines": {"e": {"kind": "openai", "model": f"{hub.namespace}/{name}-student", "url": "http://127.0.0.1:9"}},
        "prompts": {"sources": [{"kind": "problems", "families": [], "rows": 1}]},
        "generate": {"engine": "e"},
        "train": {"student": f"{hub.namespace}/{name}-student"},
        "merge": 0.5,
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "merged", "model": "merged", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": {"kind": "problems", "families": [], "rows": 1}}],
        },
    }
    made = Run(Recipe.model_validate(tree), hub, Screen())
    hub.create(made.recipe.train.student, "model", private=False)
    hub.publish(made.recipe.train.student, "model", "x", {file.name: file for file in student.iterdir()})
    publish_trained(made, trained)
    return made


def publish_trained(run: Run, folder: Path, seconds: float = 1.0) -> None:
    told = Facts(stage="train", recipe="r", digest="d", complete=True, inputs=(), seconds=seconds, updated=facts.now())
    files: dict[str, bytes | Path] = {file.name: file for file in folder.iterdir()}
    run.hub.create(run.model, "model", private=False)
    run.hub.publish(run.model, "model", "x", files | {"run/train.json": told.model_dump_json().encode()})


def student_of(run: Run) -> Input:
    repo = run.recipe.train.student
    return Input(repo=repo, kind="model", revision=run.hub.revision(repo, "model"))


def test_the_branch_holds_the_merged_model_and_says_so_and_main_is_left_alone(run: Run) -> None:
    before = run.hub.need(run.model, "model", "train")
    merged.publish(run, student_of(run))
    assert run.hub.revision(run.model, "model") == before.revision
    found = merged.need(run, before.input)
    assert found.facts
    assert found.facts.inputs == (student_of(run), before.input)
    assert found.facts.details["share"] == 0.5
    assert set(before.files) - set(found.files) == set()
    card = run.hub.text(run.model, "model", found.revision, "README.md")
    assert "**These weights are merged:** of each, 0.5 of the trained one" in card
    assert 'from_pretrained(name, revision="merged", dtype="auto")' in card
    merged.publish(run, student_of(run))
    assert run.hub.revision(run.model, "model", merged.BRANCH) == found.revision


def test_other_weights_or_another_share_are_merged_anew_and_until_then_refused(run: Run, student: Path) -> None:
    with pytest.raises(StageError, match="has no branch merged of its newest weights: run train"):
        merged.need(run, run.hub.need(run.model, "model", "train").input)
    merged.publish(run, student_of(run))
    other = Run(run.recipe.model_copy(update={"merge": 0.25}), run.hub, run.screen)
    trained = run.hub.need(run.model, "model", "train").input
    with pytest.raises(StageError, match="run train"):
        merged.need(other, trained)
    merged.publish(other, student_of(run))
    assert merged.need(other, trained)
    publish_trained(run, student, seconds=2.0)
    again = run.hub.need(run.model, "model", "train").input
    with pytest.raises(StageError, match="run train"):
        merged.need(other, again)
    merged.publish(other, student_of(run))
    assert merged.need(other, again)


def test_a_way_that_asks_the_merged_model_needs_a_merge() -> None:
    way = "evaluate.ways=[{name: mine, model: merged, instruction: plain.v1}]"
    with pytest.raises(RecipeError, match="'mine' asks the merged model, and there is none: add merge"):
        recipes.load("demo", [way])
    assert recipes.load("demo", [way, "merge=0.5"]).merge == 0.5


def test_whether_and_how_it_is_merged_does_not_train_again() -> None:
    assert recipes.load("demo").digest("train") == recipes.load("demo", ["merge=0.5"]).digest("train")
