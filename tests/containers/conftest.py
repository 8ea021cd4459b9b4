"""An engine, the images, and a Hub for them, once for all tests.

Where there is no engine these tests are skipped with the reason; in CI they fail, unless THINKIN_NO_DOCKER is set.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack

import docker_engine
import docker_images
import pytest
from tiny import make_student

from pipelines import hub
from pipelines.hub import Hub


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


@pytest.fixture(scope="session")
def connected(hub_server: str, tmp_path_factory: pytest.TempPathFactory) -> Hub:
    """The Hub, with the student on it."""
    connected = hub.connect(None)
    folder = make_student(tmp_path_factory.mktemp("student"))
    connected.create("tiny/student", "model", private=False)
    connected.publish("tiny/student", "model", "a student", {path.name: path for path in folder.iterdir()})
    return connected
