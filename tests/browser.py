"""A real browser without a window. Where there is none, its tests are skipped with the reason; in CI they fail, unless
THINKIN_NO_BROWSER is set."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


def find() -> str:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        reason = f"there is no browser here: install one of {', '.join(NAMES)}"
        if os.environ.get("CI") and not os.environ.get("THINKIN_NO_BROWSER"):
            pytest.fail(f"{reason}, or set THINKIN_NO_BROWSER=1", pytrace=False)
        pytest.skip(reason)
    return found


def dom(page: Path) -> str:
    """The page as it stands once its scripts have run."""
    return _run(page, "--dump-dom")


def picture(page: Path, target: Path) -> bytes:
    _run(page, "--window-size=1200,1600", "--hide-scrollbars", f"--screenshot={target}")
    return target.read_bytes()


def _run(page: Path, *arguments: str) -> str:
    with tempfile.TemporaryDirectory(prefix="thinkin-browser-") as profile:
        command = [find(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *arguments]
        command += ["--host-resolver-rules=MAP * ~NOTFOUND", page.as_uri()]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
