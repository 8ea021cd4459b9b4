"""Loss, tokens a second and memory: told to the stage, and put into the logs that Trackio and its like get."""

import json
import resource
import time
from collections.abc import MutableMapping
from typing import Any

import torch
from accelerate import PartialState
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from pipelines.training.job import Progress


def tell(event: str, **data: object) -> None:
    if PartialState().is_main_process:
        print(json.dumps({"event": event, **data}, ensure_ascii=False), flush=True)


class Telling(TrainerCallback):
    """Stands in front of the other callbacks, so that they log what it adds.

    TRL's SFT counts tokens `anew` in each process; here they are counted from the beginning of the training, over all
    checkpoints that it went on from.
    """

    def __init__(self, anew: bool = True) -> None:
        self.anew = anew
        self.before = self.tokens = 0
        self.resumed = 0  # the step of the checkpoint that this process went on from
        self.logged = 0.0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: object
    ) -> None:
        counts = [int(entry["num_tokens"]) for entry in state.log_history if "num_tokens" in entry]
        self.tokens = counts[-1] if counts else 0
        self.before = self.tokens if self.anew else 0
        self.resumed = state.global_step
        self.logged = time.monotonic()
        self._tell(state, {})

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: MutableMapping[str, Any] | None = None,
        **_: object,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        tokens, now = self.before + int(logs["num_tokens"]), time.monotonic()
        logs["num_tokens"] = tokens
        logs["tokens_per_second"] = (tokens - self.tokens) / (now - self.logged)
        logs["memory_gb"] = memory()
        state.log_history[-1].update(logs)
        self.tokens, self.logged = tokens, now
        self._tell(state, logs)

    def _tell(self, state: TrainerState, logs: MutableMapping[str, Any]) -> None:
        progress = Progress(
            step=state.global_step,
            steps=state.max_steps,
            loss=logs.get("loss"),
            reward=logs.get("reward"),
            tokens_per_second=logs.get("tokens_per_second"),
            memory=logs.get("memory_gb"),
            gpus=PartialState().num_processes if torch.cuda.is_available() else 0,
        )
        tell("progress", progress=progress.model_dump())


def memory() -> float:
    """The most that was held so far, in GB: of the accelerator's memory, or of the machine's where there is none."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def curve(state: TrainerState) -> tuple[tuple[int, float], ...]:
    """The losses of all steps, those before a checkpoint included: (step, loss)."""
    return tuple((int(entry["step"]), float(entry["loss"])) for entry in state.log_history if "loss" in entry)
