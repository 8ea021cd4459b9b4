"""When the training saves itself: by the clock, so that an interruption costs the same whatever a step takes.

A checkpoint holds all that the next step depends on: weights, optimizer, schedule, random numbers, and how far the data
were read. Training that goes on from it makes the very steps that it would have made without the interruption.
"""

import time
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import broadcast_object_list
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.training.job import Saved, Training
from pipelines.training.progress import tell


class Saving(TrainerCallback):
    """Saves every so many seconds, and before it stops where the stage wants that; tells the stage of every checkpoint,
    those that TRL takes by itself included."""

    def __init__(self, job: Training) -> None:
        self.every, self.stop = job.save_every, job.stop
        self.saved, self.stopped = time.monotonic(), False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        # a loss is the mean since the last log: a checkpoint between two logs would lose a part of it
        if self.every is None or state.global_step % int(args.logging_steps) or state.global_step >= state.max_steps:
            return
        told = [self.stop.exists(), time.monotonic() - self.saved >= self.every]
        if PartialState().num_processes > 1:
            broadcast_object_list(told)  # all of them save together, or none
        self.stopped, due = told
        control.should_save |= self.stopped or due
        control.should_training_stop |= self.stopped

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object) -> None:
        PartialState().wait_for_everyone()  # each process has written its part
        self.saved = time.monotonic()
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        tell("saved", saved=Saved(step=state.global_step, folder=str(folder)).model_dump())
