"""Folders that survive a power cut: the name of a file is safe once the folder that holds it is synced."""

import os
from pathlib import Path


def make(folder: Path) -> None:
    """The folder, and those above it that are missing, for the owner's eyes only."""
    if not folder.is_dir():
        make(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        sync(folder.parent)


def sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
