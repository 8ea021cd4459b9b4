import sys
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter

from pipelines.training.chat_template import Refused
from pipelines.training.job import Job, Reinforcement
from pipelines.training.progress import tell

Jobs = TypeAdapter[Job | Reinforcement](Annotated[Job | Reinforcement, Field(discriminator="kind")])


def main(path: str) -> int:
    job = Jobs.validate_json(Path(path).read_text("utf-8"), strict=False)
    try:
        if isinstance(job, Job):
            from pipelines.training.sft import train

            train(job)
        else:
            from pipelines.training.reinforcement import reinforce

            reinforce(job)
    except Refused as refused:
        tell("refused", why=str(refused))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
