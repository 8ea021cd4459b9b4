"""A stage in a container on this machine: built by Docker's command line, run through its SDK.

The SDK builds with the classic builder alone, which knows neither cache mounts nor secrets.
"""

import codecs
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound
from docker.types import DeviceRequest
from docker.utils import parse_bytes

from pipelines import facts
from pipelines.errors import LaunchFailed, RecipeError, StageError
from pipelines.launch import Task
from pipelines.screen import Screen

if TYPE_CHECKING:
    from docker.client import DockerClient
    from docker.models.containers import Container

ROOT = Path(__file__).parents[2]
CACHE = "thinkin-cache"
"""A volume for what is downloaded from the Hub, kept from one container to the next."""
STOP_WITHIN = 10
"""Seconds from SIGTERM to SIGKILL, in which a stage publishes what it has."""
SHARED_MEMORY = "8g"
"""The most that the processes of one container share; Docker's default of 64 MB is too little for NCCL and vLLM."""


def run(
    task: Task,
    screen: Screen,
    image: str | None = None,
    arguments: Sequence[str] = (),
    gpus: str | None = None,
    memory: str | None = None,
) -> None:
    """Run the task to its end and show its log; the container is gone afterwards, whatever happened.

    `image` is used as it is; without one the stage's own is built, with `arguments` for its Dockerfile (NAME=VALUE).
    Raises LaunchFailed with the stage's exit code.
    """
    devices, limit = _devices(gpus if gpus is not None else "all" if task.gpu else "none"), _bytes(memory)
    client = _connect()
    name = image or build(task, arguments)
    found = _fetch(client, name)
    settings: dict[str, Any] = {
        "environment": {**task.environment, **task.secrets, "THINKIN_IMAGE": digest(name, found)},
        "labels": task.labels,
        "network_mode": "host" if task.local or task.together else "bridge",
        "tmpfs": {"/tmp": ""},  # noqa: S108 - where TGI puts its sockets; all else is told to use a volume
        "volumes": {CACHE: {"bind": "/cache", "mode": "rw"}},
        "device_requests": devices,
        "shm_size": SHARED_MEMORY,
        "mem_limit": limit,
        "memswap_limit": limit,
        # nothing is gained by more rights than these
        "read_only": True,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "init": True,
    }
    screen.say(f"{task.stage}: in a container of {name}")
    try:
        container = client.containers.create(name, list(task.command[1:]), **settings)
        state = _watch(container)
    except APIError as error:
        raise StageError(_explain(error)) from None
    _judge(task, state, memory)


def build(task: Task, arguments: Sequence[str] = ()) -> str:
    """Build the image of the task and return its name. What PIP_CONFIG_FILE names, if anything, goes in as a secret."""
    name = "-".join(filter(None, ("thinkin", task.image, task.server))) + f":{facts.source() or 'latest'}"
    command = ["docker", "build", "--file", f"containers/{task.image}/Dockerfile", "--tag", name]
    command += ["--build-arg", f"GIT_SHA={facts.source()}"]
    if task.server:
        command += ["--build-arg", f"BASE_IMAGE={task.server}"]
    for argument in arguments:
        command += ["--build-arg", argument]
    if settings := os.environ.get("PIP_CONFIG_FILE"):
        command += ["--secret", f"id=pip_conf,src={settings}"]
    try:
        built = subprocess.run([*command, "."], cwd=ROOT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, check=False)  # noqa: S603
    except FileNotFoundError:
        raise StageError(
            "there is no command `docker` to build the image with: install Docker, or give --image"
        ) from None
    if built.returncode:
        raise StageError(f"the image of {task.stage} could not be built: {' '.join(command)} . tells why")
    return name


def _connect() -> "DockerClient":
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as error:
        raise StageError(f"no Docker engine answers ({error}): start it, or point DOCKER_HOST at one") from None
    return client


def _fetch(client: "DockerClient", name: str) -> Any:
    try:
        return client.images.get(name)
    except ImageNotFound:
        try:
            client.images.pull(name)
            return client.images.get(name)
        except DockerException as error:
            raise StageError(f"there is no image {name}, and it cannot be pulled: {error}") from None


def digest(name: str, image: Any) -> str:
    """An image of Docker's by its digest in the registry that it was pulled from, or by that of what it holds."""
    known: list[str] = image.attrs.get("RepoDigests") or []
    return name if "@" in name else known[0] if known else f"{name} ({image.id})"


def _devices(gpus: str) -> list[DeviceRequest]:
    if gpus == "none":
        return []
    if gpus != "all" and not gpus.isdigit():
        raise RecipeError(f"--gpus {gpus}: write all, none or a number")
    return [DeviceRequest(count=-1 if gpus == "all" else int(gpus), capabilities=[["gpu"]])]


def _bytes(memory: str | None) -> int | None:
    try:
        return int(parse_bytes(memory)) if memory else None
    except DockerException:
        raise RecipeError(f"--memory {memory}: write a number with its unit, such as 16g") from None


def _watch(container: "Container") -> dict[str, Any]:
    """Start it, show its log, and return how it ended; on Ctrl-C or SIGTERM the stage is told to stop first."""
    try:
        container.start()
        log = container.logs(stream=True, follow=True)
        try:
            _show(log)
        except KeyboardInterrupt:
            container.stop(timeout=STOP_WITHIN)
            _show(log)
            raise
        container.wait()
        container.reload()
        return container.attrs["State"]
    finally:
        with suppress(NotFound):
            container.remove(force=True, v=True)


def _show(log: Any) -> None:
    for text in codecs.iterdecode(log, "utf-8", errors="replace"):
        sys.stdout.write(text)
        sys.stdout.flush()


def _explain(error: APIError) -> str:
    text = str(error.explanation or error)
    if "could not select device driver" in text:
        return "Docker has no driver for a GPU here: install NVIDIA's container toolkit, or give --gpus none"
    return f"Docker refused the container: {text}"


def _judge(task: Task, state: dict[str, Any], memory: str | None) -> None:
    code = int(state["ExitCode"])
    if state["OOMKilled"]:
        limit = f"its limit of {memory}" if memory else "what this machine has"
        raise LaunchFailed(
            f"{task.stage} ran out of memory ({limit}): give its container more with --memory", code or 137
        )
    if code:
        raise LaunchFailed(f"{task.stage} ended with exit code {code} in its container; its log above tells why", code)
