"""What a person would forget: import arrows, no package in a wheel, a README that tells the truth."""

import ast
import importlib.util
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from graphlib import TopologicalSorter
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import typer
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import pipelines
from pipelines import workflow
from pipelines.__main__ import app
from pipelines.recipe import STAGES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pipelines"

# The map of pipelines/__init__.py, from the outside in: an arrow may point to the same row or to one below.
ROWS = (
    ("__main__",),
    ("commands",),
    ("launch",),
    tuple(f"stages.{stage}" for stage in STAGES),
    ("training",),
    ("flow", "calibration", "lineage"),
    ("cards", "tables", "measures", "reference", "marking", "plots"),
    ("sources", "held_out", "checks", "rewards"),
    ("engines", "llm", "judges"),
    ("imports",),
    ("run", "screen"),
    ("hub", "parquet", "ids", "tether", "cores"),
    ("chains", "language", "answers", "problems", "lexicon", "estimates", "contamination", "agreement"),
    ("recipes", "recipe", "benchmarks", "instructions", "prices", "records", "facts", "errors"),
)
ISLANDS = {"servers": {"servers"}, "localhub": {"localhub"}}
"""What they may import of ours: themselves. Each runs as a process of its own."""

# Files that the map does not name, each with the one whose part it is.
PARTS = {
    "daemon": "commands",
    "diagnosis": "flow",
    "plan": "commands",
    "processes": "engines",
    "upkeep": "commands",
    "browse": "commands",
    "report": "commands",
    "workflow": "commands",
    "examples": "cards",
    "formats": "hub",
    "labelled": "calibration",
    "leaderboards": "cards",
    "sections": "cards",
}

ALLOWED = {
    "records": set[str](),
    "errors": set[str](),
    "recipe": {"instructions", "prices", "records"},
    "prices": set[str](),
    "recipes": {"recipe", "benchmarks", "errors"},
    "benchmarks": {"errors"},
    "estimates": set[str](),
    "contamination": set[str](),
    "agreement": {"estimates"},
    "facts": {"records"},
    "chains": set[str](),
    "language": {"lexicon"},
    "answers": {"lexicon"},
    "lexicon": set[str](),
    "problems": set[str](),
    "instructions": {"records", "errors"},
}
"""The lowest rows, one by one: all that they may import of ours."""

RANK = {name: rank for rank, row in enumerate(ROWS) for name in row}
RANK |= {part: RANK[whole] for part, whole in PARTS.items()}


def unit(module: str) -> str:
    """What stands on the map for a module such as `pipelines.localhub.store.trees`."""
    _, first, *rest = module.split(".")
    return f"stages.{rest[0]}" if first == "stages" and rest else first


@cache
def arrows() -> dict[str, set[str]]:
    """Per name of the map, what it imports of ours, wherever in its files the import stands."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if module in ("pipelines", "pipelines.stages"):
            assert not list(imported(path, module)), f"{module} only holds the map"
            continue
        targets = {unit(name) for name in imported(path, module)}
        found.setdefault(unit(module), set()).update(targets - {unit(module)})
    return found


def imported(path: Path, module: str) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = list[str]()
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = node.module or ""
            if node.level:
                source = importlib.util.resolve_name("." * node.level + source, package)
            names = (
                [f"{source}.{alias.name}" for alias in node.names]
                if source in ("pipelines", "pipelines.stages")
                else [source]
            )
        yield from (name for name in names if name.startswith("pipelines."))


def test_every_module_has_a_place_on_the_map() -> None:
    assert set(arrows()) == RANK.keys() | ISLANDS.keys()


def test_the_docstring_names_what_the_layers_of_this_test_name() -> None:
    words = set(re.findall(r"\w+", pipelines.__doc__ or ""))
    assert {name.removeprefix("stages.") for row in ROWS for name in row} | ISLANDS.keys() <= words


@pytest.mark.parametrize("name", sorted(RANK))
def test_arrows_point_downwards(name: str) -> None:
    upwards = {target for target in arrows()[name] - ISLANDS.keys() if RANK[target] < RANK[name]}
    assert not upwards


def test_no_arrows_make_a_circle() -> None:
    TopologicalSorter(arrows()).prepare()


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_knows_no_other_stage(stage: str) -> None:
    assert not {target for target in arrows()[f"stages.{stage}"] if target.startswith("stages")}


@pytest.mark.parametrize("name", sorted(ALLOWED))
def test_the_lowest_rows_import_only_what_the_map_allows(name: str) -> None:
    assert arrows()[name] <= ALLOWED[name]


@pytest.mark.parametrize("island", sorted(ISLANDS))
def test_an_island_imports_nothing_of_ours(island: str) -> None:
    assert not arrows()[island]


def test_only_the_command_line_imports_the_embedded_hub() -> None:
    assert {name for name, targets in arrows().items() if "localhub" in targets} == {"daemon", "upkeep"}


def test_nothing_imports_the_embedded_engines() -> None:
    assert not {name for name, targets in arrows().items() if "servers" in targets}


PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
IMAGES = {"generate": "generator", "train": "trainer", "reinforce": "trainer", "evaluate": "evaluator"}
BLOCKED = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[2:]:
            raise ModuleNotFoundError(f"no {name} in this image")

sys.meta_path.insert(0, Absent())
__import__(f"pipelines.stages.{sys.argv[1]}")
"""


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_starts_with_the_packages_of_its_image_alone(stage: str) -> None:
    absent = {name for extra in EXTRAS for name in required(extra)} - required(IMAGES.get(stage, "judge"))
    assert absent
    modules = [name.replace("-", "_") for name in sorted(absent)]
    started = subprocess.run(
        [sys.executable, "-c", BLOCKED, stage, *modules], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert started.returncode == 0, started.stderr


def required(extra: str) -> set[str]:
    """The packages that come with an extra, and all that these need."""
    found, left = set[str](), [Requirement(line) for line in (*PROJECT["dependencies"], *EXTRAS[extra])]
    while left:
        need = left.pop()
        name = canonicalize_name(need.name)
        if name == "thinkin":
            left += [Requirement(line) for inner in need.extras for line in EXTRAS[inner]]
        elif name not in found and (need.marker is None or need.marker.evaluate({"extra": ""})):
            found.add(name)
            with suppress(PackageNotFoundError):  # of another system, or of zero3
                left += [Requirement(line) for line in distribution(name).requires or ()]
    return found


# --- what is built and tracked


def files() -> list[str]:
    """What git tracks, or would: all that is not ignored."""
    asked = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(asked, cwd=ROOT, capture_output=True, check=True, text=True).stdout.split("\0")
    return [name for name in names if name and (ROOT / name).is_file()]


def test_a_wheel_holds_no_package(tmp_path: Path) -> None:
    source = tmp_path / "source"  # a copy, so that nothing is left behind in the tree
    for name in files():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(source)]
    if importlib.util.find_spec("setuptools"):
        command.append("--no-build-isolation")
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert any(name.endswith("METADATA") for name in names)
    assert [name for name in names if name.endswith(".py") or name.startswith("pipelines")] == []


def test_no_tracked_file_names_a_place_on_somebodys_machine() -> None:
    homes = re.compile(rb"(?<![\w.])/(?:home|Users)/[a-z]|(?<![\w.])/(?:work|tmp)/(?:main|shared|w)\b")
    assert [name for name in files() if homes.search((ROOT / name).read_bytes())] == []


# --- the command line


@pytest.mark.parametrize("arguments", [["--help"], ["generate", "--help"], ["hub", "--help"], ["run", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "pipelines", *arguments]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in ended.stderr.splitlines()}
    assert "typer" in loaded  # else this reads the wrong lines
    assert "Usage" in ended.stdout
    heavy = {"torch", "datasets", "transformers", "huggingface_hub", "openai", "numpy", "pyarrow"}
    assert not loaded & heavy


def test_no_command_is_without_help() -> None:
    assert {*STAGES, "run", "import", "hub", "hub gc"} <= set(commands())
    assert [name for name, command in commands().items() if not command.help] == []


def commands() -> dict[str, Any]:
    """All commands by name; one that stands below another is named with it, as in `hub gc`."""
    found = dict[str, Any](typer.main.get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue]
    below = {
        f"{name} {part}": it for name, whole in found.items() for part, it in getattr(whole, "commands", {}).items()
    }
    return found | below


def test_the_stages_that_the_workflows_shard_take_a_shard() -> None:
    assert {name for name in STAGES if "--shard" in options()[name]} == set(workflow.SHARDED)


@cache
def options() -> dict[str, set[str]]:
    return {
        name: {
            "--help",
            *(flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)),
        }
        for name, command in commands().items()
    }


# --- the README


@pytest.fixture
def readme() -> str:
    if not (ROOT / "README.md").exists():
        pytest.skip("there is no README.md yet")
    return (ROOT / "README.md").read_text("utf-8")


def code(text: str) -> list[str]:
    """The lines of all code blocks, and all inline code."""
    blocks = re.findall(r"^```[^\n]*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))
    return [line for block in blocks for line in block.splitlines()] + inline


def test_every_command_in_the_readme_exists_with_its_flags(readme: str) -> None:
    lines = [line for line in code(readme) if "python -m pipelines " in line]
    assert lines
    for line in lines:
        words = shlex.split(line.split("python -m pipelines ", 1)[1], comments=True)
        name = " ".join(words[:2]) if " ".join(words[:2]) in options() else words[0]
        assert name in options(), line
        flags = set(re.findall(r"--[a-z][a-z-]*", line))
        assert flags <= options()[name], line


def test_every_flag_that_the_readme_mentions_exists(readme: str) -> None:
    known = set().union(*options().values())
    mentioned = {line.split()[0].partition("=")[0] for line in code(readme) if line.startswith("--")}
    assert mentioned
    assert mentioned <= known


def test_every_recipe_that_the_readme_runs_is_shipped(readme: str) -> None:
    command = re.compile(rf"python -m pipelines (?:run|import|{'|'.join(STAGES)}) ([a-z][\w-]*)")
    named = {name for line in code(readme) for name in command.findall(line)}
    assert named
    assert named <= {path.stem for path in (PACKAGE / "recipes").glob("*.yaml")}


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_every_make_target_that_is_told_of_exists(document: str) -> None:
    if not (ROOT / document).exists():
        pytest.skip(f"there is no {document} yet")
    told = {
        name
        for line in code((ROOT / document).read_text("utf-8"))
        for name in re.findall(r"\bmake ([a-z][\w-]*)", line)
    }
    assert told
    assert told <= set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))


def test_every_file_that_the_readme_links_to_exists(readme: str) -> None:
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", readme) if "://" not in link]
    assert links
    assert [link for link in links if link and not (ROOT / link).exists()] == []
