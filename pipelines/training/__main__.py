import sys
from pathlib import Path

from pipelines.training.chat_template import Refused
from pipelines.training.job import Job
from pipelines.training.progress import tell
from pipelines.training.sft import train


def main(path: str) -> int:
    job = Job.model_validate_json(Path(path).read_text("utf-8"), strict=False)
    try:
        train(job)
    except Refused as refused:
        tell("refused", why=str(refused))
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
