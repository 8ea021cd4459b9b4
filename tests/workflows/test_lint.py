"""`make lint`, but for what needs the whole environment in .venv: the linters find nothing, and find what is wrong."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
BIN = Path(sys.executable).parent


def linters() -> list[str]:
    """The commands of `make lint` that look at anything but our Python."""
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe
    lines = [line.strip().replace("$(BIN)", str(BIN)) for line in recipe[1].splitlines()]
    return [line for line in lines if not re.search(r"/(ruff|pyright)\b", line)]


def ended(line: str, where: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["bash", "-c", line], cwd=where, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("line", linters(), ids=lambda line: Path(line.split()[0]).name)
def test_a_linter_finds_nothing(line: str) -> None:
    found = ended(line, ROOT)
    assert found.returncode == 0, found.stdout + found.stderr


@pytest.mark.parametrize(
    ("linter", "wrong"),
    [
        ("yamllint", "permissions: {}\npermissions: {}\non: push\njobs: {}\n"),
        ("github-workflows", "on: push\njobs: {a: {runs-on: x, steps: [{run: a, uses: b}]}}\n"),
        ("actionlint", "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'echo ${{ inputs.b }}'}]}}\n"),
        ("actionlint", "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{run: 'echo $(ls *.x) $a'}]}}\n"),
        ("zizmor", "on: push\njobs: {a: {runs-on: ubuntu-latest, steps: [{uses: actions/checkout@v6}]}}\n"),
    ],
)
def test_a_linter_finds_what_is_wrong_with_a_workflow(linter: str, wrong: str, tmp_path: Path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    for kept in (".yamllint.yaml", ".gitignore"):
        shutil.copyfile(ROOT / kept, tmp_path / kept)
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    (workflows / "wrong.yml").write_text(wrong)
    (line,) = [line for line in linters() if linter in line.split(" .github/")[0].replace("shellcheck", "")]
    assert ended(line, tmp_path).returncode != 0
