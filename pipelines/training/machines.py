"""Several machines at one training."""

import hashlib
from pathlib import Path

from accelerate.utils import gather_object

from pipelines.records import digest
from pipelines.training.chat_template import Refused
from pipelines.training.job import Training

_OF_ONE_MACHINE = {"student", "rows", "output", "resume"}


def agree(job: Training) -> None:
    """Refuse where the machines of one training were not given the same job: they read the Hub one by one."""
    with Path(job.rows).open("rb") as rows:
        content = hashlib.file_digest(rows, "sha256").hexdigest()
    same = digest(job.model_dump(mode="json", exclude=_OF_ONE_MACHINE), content)
    if len(set(gather_object([same]))) > 1:
        raise Refused("the machines read different rows or recipes: start them again, all from the same commit")
