"""Git's path patterns: which files are large (.gitattributes) and which are not wanted (.gitignore)."""

import re
from contextlib import suppress
from functools import lru_cache

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
    for line in gitattributes.splitlines():
        pattern, *attributes = line.split() or [""]
        if pattern and not pattern.startswith("#") and _expression(pattern).fullmatch(path):
            large = "filter=lfs" in attributes
    return large


def is_ignored(gitignore: str, path: str) -> bool:
    """A file is ignored by its own path or by that of a folder above it."""
    parts = path.split("/")
    above = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
    ignored = False
    for line in gitignore.splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        negated, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        candidates = above if pattern.endswith("/") else [*above, path]
        expression = _expression(pattern.rstrip("/"))
        if any(expression.fullmatch(candidate) for candidate in candidates):
            ignored = not negated
    return ignored


@lru_cache(maxsize=1024)
def _expression(pattern: str) -> re.Pattern[str]:
    """Without a slash a pattern matches in every folder; `**` spans folders, `*` does not."""
    anchored = "/" in pattern
    parts = re.split(r"(\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern.removeprefix("/"))
    special = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    body = "".join(special.get(part) or _literal(part) for part in parts)
    return re.compile(body if anchored else f"(?:.*/)?{body}")


def _literal(part: str) -> str:
    """A set such as `[0-9]` is one in both languages, once its negation is spelled as `re` does."""
    if re.fullmatch(r"\[!?[\w.-]+\]", part):
        as_set = part.replace("[!", "[^")
        with suppress(re.error):
            re.compile(as_set)
            return as_set
    return re.escape(part)
