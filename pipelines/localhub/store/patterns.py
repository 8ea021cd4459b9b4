"""Git's path patterns: which files are large (.gitattributes) and which are not wanted (.gitignore)."""

from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import lru_cache

from pipelines.localhub.errors import BadRequestError

MAX_PATTERNS = 2000

# What the Hub puts into a new repo: with it the clients send weights and parquet as large files.
_LARGE = """
*.7z *.arrow *.bin *.bz2 *.ckpt *.ftz *.gguf *.gz *.h5 *.joblib *.lz4 *.mlmodel *.model *.msgpack
*.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors
saved_model/**/* *.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*
*.flac *.mp3 *.ogg *.wav *.bmp *.gif *.png *.tiff *.jpg *.jpeg *.webp *.mp4 *.webm
"""
GITATTRIBUTES = "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in _LARGE.split())


def is_large(gitattributes: str, path: str) -> bool:
    """The last line that matches decides, as in git."""
    large = False
    for line in _lines(gitattributes):
        pattern, *attributes = line.split()
        if _matches(pattern, path):
            large = "filter=lfs" in attributes
    return large


def is_ignored(gitignore: str, path: str) -> bool:
    """A file is ignored by its own path or by that of a folder above it."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    ignored = False
    for line in _lines(gitignore):
        negated, pattern = line.startswith("!"), line.removeprefix("!")
        candidates = above if pattern.endswith("/") else [*above, path]
        if any(_matches(pattern.rstrip("/"), candidate) for candidate in candidates):
            ignored = not negated
    return ignored


@lru_cache(maxsize=8)
def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    patterns = [line for line in lines if line and not line.startswith("#")]
    if len(patterns) > MAX_PATTERNS:
        raise BadRequestError(f"more than {MAX_PATTERNS} patterns in .gitattributes or .gitignore")
    return patterns


def _matches(pattern: str, path: str) -> bool:
    """Without a slash a pattern matches in every folder; `**` spans folders, `*` does not.

    Name by name, and never as one expression for the whole path: with many stars that would try for hours.
    """
    if "/" not in pattern:
        return fnmatchcase(path.rpartition("/")[2], pattern)
    wanted = pattern.removeprefix("/").split("/")
    reached = _past_stars({0}, wanted)
    for name in path.split("/"):
        onward = {at + 1 for at in reached if at < len(wanted) and fnmatchcase(name, wanted[at])}
        stay = {at for at in reached if at < len(wanted) and wanted[at] == "**"}
        reached = _past_stars(onward | stay, wanted)
    return len(wanted) in reached


def _past_stars(reached: set[int], wanted: Sequence[str]) -> set[int]:
    """A `**` before another name may also stand for no folder at all."""
    for at, name in enumerate(wanted[:-1]):
        if name == "**" and at in reached:
            reached.add(at + 1)
    return reached
