"""A weighted average of two checkpoints, tensor by tensor: the trained weights, and those that the training began from.

The merged files have the layout of the trained ones: the same names of files, the same headers, the same index. So no
more is in memory than one tensor of each checkpoint, and the sum of the two, in float32.

The method is WiSE-FT (Wortsman et al., 2022, "Robust fine-tuning of zero-shot models").
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import safe_open
from transformers import AutoConfig

from pipelines.errors import StageError

WEIGHTS = "model*.safetensors"
FLOATS = ("F32", "F16", "BF16")
TIED = "lm_head.weight"
"""Some checkpoints have the output head a second time, although it is the embedding."""


def merge(student: Path, trained: Path, output: Path, share: float) -> int:
    """Write `share` of `trained` and the rest of `student` into the folder `output`; returns how many tensors.

    Raises StageError, with the tensor's name, where the two do not hold the same tensors, in shape and kind of number.
    """
    with ExitStack() as opened:
        base, ours = _tensors(student, opened), _tensors(trained, opened)
        _agree(base, ours, bool(AutoConfig.from_pretrained(trained).get_text_config().tie_word_embeddings))
        for path in sorted(trained.glob(WEIGHTS)):
            with path.open("rb") as source, (output / path.name).open("wb") as target:
                _copy_header(source, target)
                with safe_open(path, "pt") as file:
                    for name in file.offset_keys():
                        _write(target, _average(base[name].get_tensor(name), file.get_tensor(name), share))
        return len(ours)


def _tensors(folder: Path, opened: ExitStack) -> dict[str, Any]:
    """Each tensor's name, with the file that holds it, open but not read."""
    files = [opened.enter_context(safe_open(path, "pt")) for path in sorted(folder.glob(WEIGHTS))]
    if not files:
        raise StageError("merge: the student has no safetensors; take another `revision` of it, or leave `merge` out")
    return {name: file for file in files for name in file.keys()}  # noqa: SIM118 - the file is no dict


def _agree(base: Mapping[str, Any], ours: Mapping[str, Any], tied: bool) -> None:
    for name in sorted(base.keys() ^ ours.keys()):
        if not (tied and name == TIED and name in base):
            where = "student" if name in base else "trained model"
            raise StageError(f"merge: only the {where} has the tensor {name}: these two cannot be merged")
    for name, was, now in _pairs(base, ours):
        if was.get_shape() != now.get_shape():
            raise StageError(f"merge: {name} is {was.get_shape()} in the student and {now.get_shape()} trained")
        kinds = was.get_dtype(), now.get_dtype()
        if not set(kinds) <= set(FLOATS):
            raise StageError(f"merge: {name} is {kinds[0]} in the student and {kinds[1]} trained, not a plain float")


def _pairs(base: Mapping[str, Any], ours: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in ours:
        if name in base:
            yield name, base[name].get_slice(name), ours[name].get_slice(name)


def _average(was: torch.Tensor, now: torch.Tensor, share: float) -> torch.Tensor:
    return torch.lerp(was.float(), now.float(), share).to(now.dtype)


def _copy_header(source: BinaryIO, target: BinaryIO) -> None:
    """Of the safetensors format: the length of the header in 8 bytes, least first, and the header."""
    length = source.read(8)
    target.write(length + source.read(int.from_bytes(length, "little")))


def _write(target: BinaryIO, tensor: torch.Tensor) -> None:
    target.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
