"""A stage as a job on Hugging Face's machines, in a public image: Jobs knows no registry credentials.

A job's image loses its entry point there, so the whole command is given; without a time-out it would end after 30
minutes; and waiting for it does not tell how it ended.
"""

import httpx2
from huggingface_hub import HfApi, JobInfo, JobStage
from huggingface_hub.errors import HfHubHTTPError

from pipelines.errors import LaunchFailed, RecipeError, StageError
from pipelines.launch import Task
from pipelines.screen import Screen


def run(task: Task, api: HfApi, screen: Screen, image: str | None, flavor: str | None, timeout: str) -> None:
    """Run the task as a job, show its log, and wait for its end; Ctrl-C cancels it.

    `flavor` is the hardware, `timeout` a duration such as 6h. Raises LaunchFailed where the job did not complete.
    """
    if image is None:
        raise RecipeError("--on jobs needs --image: a public one, as your fork's images workflow publishes it")
    if flavor is None and task.gpu:
        raise RecipeError(
            f"{task.stage} needs a GPU: choose one with --flavor, `hf jobs hardware` lists them with prices"
        )
    if task.together:
        raise RecipeError(
            f"{task.stage}.machines: no job knows another's address; take a --flavor with more GPUs, and processes"
        )
    if servers := [address for address in task.local if address != task.environment.get("HF_ENDPOINT")]:
        raise RecipeError(f"{task.stage} asks a server at {servers[0]}, which a job cannot reach: give it a public url")
    try:
        job = api.run_job(
            image=image,
            command=list(task.command),
            env={**task.environment, "THINKIN_IMAGE": image},
            secrets=dict(task.secrets),
            flavor=flavor,
            timeout=timeout,
            labels=task.labels,
        )
        screen.say(f"{task.stage}: job {job.url}")
        ended = _follow(api, job, screen)
    except HfHubHTTPError as error:
        reason = error.server_message or str(error)
        raise StageError(f"Hugging Face Jobs answers {error.response.status_code}: {reason}") from None
    except httpx2.TransportError as error:
        raise StageError(
            f"Hugging Face Jobs cannot be reached ({type(error).__name__}): the job may still run"
        ) from None
    if ended.status.stage != JobStage.COMPLETED:
        why = f": {ended.status.message}" if ended.status.message else ""
        raise LaunchFailed(f"{task.stage} ended as {ended.status.stage} on Hugging Face Jobs{why}; see {job.url}")


def _follow(api: HfApi, job: JobInfo, screen: Screen) -> JobInfo:
    try:
        for line in api.fetch_job_logs(job_id=job.id, namespace=job.owner.name, follow=True):
            screen.say(line)
        return api.wait_for_job(job.id, namespace=job.owner.name)
    except KeyboardInterrupt:
        api.cancel_job(job_id=job.id, namespace=job.owner.name)
        screen.say(f"the job is cancelled: {job.url}")
        raise
