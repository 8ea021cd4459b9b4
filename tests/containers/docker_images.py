"""The four images, built on a base and from wheels that are made of this machine."""

import importlib.metadata
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker_engine
import host_image
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
NAMES = ("judge", "generator", "evaluator", "trainer")
BASE, WHEELS = "thinkin-test-base", "thinkin-test-wheels"


def arguments(**images: str) -> tuple[str, ...]:
    pairs = {"BASE_IMAGE": BASE, "BUILDER_IMAGE": BASE, "WHEELS_IMAGE": WHEELS, **images}
    return tuple(word for name, value in pairs.items() for word in ("--build-arg", f"{name}={value}"))


ARGUMENTS = arguments()
REVISION = "0123456789ab"
SECRET = "a-password-of-the-mirror"


@dataclass(frozen=True)
class Images:
    """The names of the images, and what a build of them needs in its environment."""

    names: dict[str, str]
    environment: dict[str, str]
    settings: Path
    """Of pip, given to a build in secret."""

    def command(self, *words: str) -> dict[str, Any]:
        """Arguments of subprocess for a command of ours that may build, and would find all of it built."""
        line = [sys.executable, "-m", "pipelines", *words]
        return {"args": line, "cwd": ROOT, "env": self.environment, "text": True, "stderr": subprocess.PIPE}

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(**self.command(*words), stdout=subprocess.PIPE, check=False, timeout=280)


def build(folder: Path) -> Images:
    """Build them all; `folder` is for what it takes."""
    settings = folder / "pip.conf"
    settings.write_text(f"[global]\nno-index = true\nextra-index-url = https://user:{SECRET}@mirror.invalid/simple\n")
    load(BASE, host_image.write, "--change", host_image.ENVIRONMENT)
    load_wheels(WHEELS, folder / "wheels", (*NAMES, "demo"), provided=("torch", "xllamacpp"))
    environment = {**docker_engine.environment(), "PIP_CONFIG_FILE": str(settings), "THINKIN_REVISION": REVISION}
    images = Images({name: f"thinkin-test-{name}" for name in NAMES}, environment, settings)
    for name, tag in images.names.items():
        build_one(images, f"containers/{name}/Dockerfile", tag, ARGUMENTS)
    return images


def build_one(images: Images, dockerfile: str, tag: str, arguments: tuple[str, ...]) -> None:
    line = ["docker", "build", "--file", dockerfile, "--tag", tag, *arguments]
    line += ["--secret", f"id=pip_conf,src={images.settings}", "--build-arg", f"GIT_SHA={REVISION}", "."]
    subprocess.run(line, cwd=ROOT, env=images.environment, check=True)


def remove() -> None:
    built = docker_engine.docker(
        "images", "--quiet", f"--filter=label=org.opencontainers.image.revision={REVISION}"
    ).stdout
    docker_engine.docker("image", "rm", "--force", *built.split(), BASE, WHEELS)


def load(name: str, write: Callable[[IO[bytes]], None], *options: str) -> None:
    """An image of what `write` puts into a tar."""
    line = ["docker", "import", *options, "-", name]
    with subprocess.Popen(
        line, env=docker_engine.environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stdin
        write(process.stdin)
    assert process.returncode == 0


def pack(stream: IO[bytes], folder: Path) -> None:
    with tarfile.open(fileobj=stream, mode="w|") as tar:
        tar.add(folder, ".")


def load_wheels(image: str, folder: Path, extras: Collection[str], provided: Collection[str] = ()) -> None:
    """An image of the wheels of all that these extras need, but for what the base provides."""
    make_wheels(folder, extras, provided)
    load(image, lambda stream: pack(stream, folder))


def make_wheels(folder: Path, extras: Collection[str], provided: Collection[str]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    named = [requirement for name in extras for requirement in project["project"]["optional-dependencies"][name]]
    wanted = closure([*project["project"]["dependencies"], *named]) - {*provided}
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder)]
    line += ["--constraint", str(ROOT / "constraints.txt")]
    subprocess.run([*line, *sorted(wanted), *project["build-system"]["requires"]], check=True)


def closure(requirements: list[str]) -> set[str]:
    """The names of these packages and of all that they need, all the way down."""
    pending, seen = [Requirement(text) for text in requirements], dict[str, Requirement]()
    while pending:
        requirement = pending.pop()
        if str(requirement) in seen or requirement.name == "thinkin":
            continue
        seen[str(requirement)] = requirement
        below = [Requirement(text) for text in importlib.metadata.requires(requirement.name) or ()]
        chosen = ("", *requirement.extras)
        pending += [it for it in below if not it.marker or any(it.marker.evaluate({"extra": name}) for name in chosen)]
    return {requirement.name.lower().replace("_", "-") for requirement in seen.values()}
