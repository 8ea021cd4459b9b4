"""What TRL asks for the reward of each response, and where every response is kept with what it was worth."""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedTokenizerBase, TrainerControl, TrainerState, TrainingArguments

from pipelines import chains
from pipelines.records import Rollout, Term, digest
from pipelines.rewards import reward
from pipelines.training.chat_template import opens_think
from pipelines.training.checkpoints import Saving
from pipelines.training.job import ROLLOUTS, Reinforcement


class Rewards:
    """TRL calls it in every process with that process's share of the responses."""

    def __init__(self, job: Reinforcement, tokenizer: PreTrainedTokenizerBase, stops: frozenset[int]) -> None:
        self.job, self.tokenizer, self.stops = job, tokenizer, stops
        self.opened = opens_think(tokenizer)

    def __call__(
        self,
        completion_ids: Sequence[Sequence[int]],
        id: Sequence[str],
        language: Sequence[str],
        text: Sequence[str],
        gold: Sequence[str],
        trainer_state: TrainerState,
        log_metric: Callable[[str, float], None],
        **_: object,
    ) -> list[float | None]:
        """Each column of the data comes by its name. The mean of each term and the share that came through the gate are
        logged beside the reward itself."""
        step = trainer_state.global_step + 1
        rows = [self._rollout(step, *columns) for columns in zip(completion_ids, id, language, text, gold, strict=True)]
        for name, value in means(rows):
            log_metric(name, value)
        self._keep(rows)
        return [row.reward for row in rows]

    def _rollout(self, step: int, ids: Sequence[int], prompt: str, language: str, text: str, gold: str) -> Rollout:
        # TRL's own text of it is without special tokens, and the think tags may be some
        ended = bool(ids) and ids[-1] in self.stops
        response = str(self.tokenizer.decode(list(ids[:-1] if ended else ids)))
        chain = chains.split(response, self.opened and chains.OPEN not in response)
        chain = replace(chain, defects=chains.defects(chain, "stop" if ended else "length"))
        found = reward(chain, gold, language, len(ids), self.job.terms)
        return Rollout(
            id="",
            step=step,
            prompt=prompt,
            sample=0,
            language=language,
            question=text,
            gold=gold,
            reasoning=chain.reasoning,
            answer=chain.answer,
            defects=chain.defects,
            tokens=len(ids),
            reward=found.total,
            gate=found.gate,
            terms=tuple(Term(name=name, value=value) for name, value in found.terms),
        )

    def _keep(self, mine: list[Rollout]) -> None:
        rows: list[Rollout] = gather_object(mine)
        if PartialState().is_main_process:
            with self.job.rollouts.open("a", encoding="utf-8") as file:
                file.writelines(row.model_dump_json() + "\n" for row in numbered(rows, self.job))


def numbered(rows: Iterable[Rollout], job: Reinforcement) -> Iterable[Rollout]:
    """With their numbers among the responses to the same prompt, and their ids."""
    seen = Counter[str]()
    for row in rows:
        name = digest("rollout", job.student_revision, job.seed, row.step, row.prompt, seen[row.prompt])
        yield row.model_copy(update={"id": name, "sample": seen[row.prompt]})
        seen[row.prompt] += 1


def means(rows: Sequence[Rollout]) -> Iterable[tuple[str, float]]:
    yield "through_the_gate", sum(row.gate is None for row in rows) / len(rows)
    names = dict.fromkeys(term.name for row in rows for term in row.terms)
    for name in names:
        values = [term.value for row in rows for term in row.terms if term.name == name]
        yield f"terms/{name}", sum(values) / len(values)


class SavingRollouts(Saving):
    """A checkpoint also holds the responses up to it, so that none is missing where the training goes on."""

    def __init__(self, job: Reinforcement) -> None:
        super().__init__(job)
        self.job = job
        if job.resume and PartialState().is_main_process:
            shutil.copy(Path(job.resume) / ROLLOUTS, job.rollouts)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        if state.is_world_process_zero:
            shutil.copy(self.job.rollouts, Path(str(args.output_dir)) / f"checkpoint-{state.global_step}" / ROLLOUTS)
        super().on_save(args, state, control)
