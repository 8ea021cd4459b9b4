"""What these tests do where there is no Docker: they say so and are counted; in CI they fail, unless that is meant."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOME = "tests/containers/test_images.py::test_what_a_build_was_told_in_secret_is_in_no_layer_and_in_no_history"


@pytest.mark.parametrize(
    ("meant", "code", "told"),
    [
        ({}, 0, ("there is no Docker here; `make engine` installs one", "1 skipped")),
        ({"CI": "true"}, 1, ("or set THINKIN_NO_DOCKER=1", "1 error")),
        ({"CI": "true", "THINKIN_NO_DOCKER": "1"}, 0, ("there is no Docker here", "1 skipped")),
    ],
)
def test_without_an_engine_the_tests_are_skipped_with_the_reason_and_in_ci_they_fail(
    tmp_path: Path, meant: dict[str, str], code: int, told: tuple[str, ...]
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "THINKIN_NO_DOCKER")}
    line = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", SOME]
    ended = subprocess.run(
        line, cwd=ROOT, env={**environment, **meant, "PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stdout
    assert all(words in ended.stdout for words in told), ended.stdout
