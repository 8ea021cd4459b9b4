"""An engine, and the images, once for all tests.

Where there is no engine these tests are skipped with the reason; in CI they fail, unless THINKIN_NO_DOCKER is set.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import docker_engine
import docker_images
import pytest


@pytest.fixture(scope="session")
def own_engine() -> Iterator[bool]:
    """Whether the engine that answers now was started for these tests."""
    with ExitStack() as stack:
        try:
            own = stack.enter_context(docker_engine.running())
        except docker_engine.NoEngine as missing:
            if os.environ.get("CI") and not os.environ.get("THINKIN_NO_DOCKER"):
                pytest.fail(f"{missing}, or set THINKIN_NO_DOCKER=1", pytrace=False)
            pytest.skip(str(missing))
        yield own


@pytest.fixture(scope="session")
def images(own_engine: bool, tmp_path_factory: pytest.TempPathFactory) -> Iterator[docker_images.Images]:
    yield docker_images.build(tmp_path_factory.mktemp("images"))
    if not own_engine:
        docker_images.remove()
