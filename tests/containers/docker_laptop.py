"""The laptop's image, which compose.yaml names: as it has it built, or a stand-in that is there in seconds."""

import subprocess
import tomllib
from pathlib import Path

import docker_images
import yaml
from docker_images import NAMES, REVISION, ROOT, Images, arguments, build_one, load_wheels

NAME, WHEELS = "thinkin-test-laptop", "thinkin-test-laptop-wheels"


def build(images: Images, folder: Path) -> str:
    """From wheels of all that `make demo` installs, torch among them: minutes."""
    load_wheels(WHEELS, folder / "wheels", (*NAMES, "launch", "demo"))
    told = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))["x-laptop"]["build"]
    build_one(images, told["dockerfile"], NAME, arguments(WHEELS_IMAGE=WHEELS, **told["args"]))
    return NAME


def build_stand_in(images: Images, folder: Path) -> str:
    """The trainer's image, and what the Hub, a model server and `generate` need beside it."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    serving = [it for it in extras["demo"] if not it.startswith(("gguf", "thinkin", "transformers", "xllamacpp"))]
    install = ["python3", "-m", "pip", "--python", "/opt/venv/bin/python", "install", "--no-index", "--no-cache-dir"]
    install += ["--find-links", "/wheels", *extras["generator"], *serving]
    lines = [
        f"FROM {images.names['trainer']}",
        "USER root",
        f"RUN --mount=type=bind,from={docker_images.WHEELS},target=/wheels {' '.join(install)}",
        "USER 10001:10001",
        f"LABEL org.opencontainers.image.revision={REVISION}",
    ]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    subprocess.run(["docker", "build", "--tag", NAME, str(folder)], env=images.environment, check=True)
    return NAME
