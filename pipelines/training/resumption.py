"""Checkpoints on the Hub: a branch of the model's repo, so that what is published on main stays clean.

The branch holds one commit with the newest checkpoint, and the facts of what is being trained from what. A training
that is the same in all of them goes on from it, on whatever machine; any other begins anew. The branch is removed once
the model is published.
"""

import json
import shutil
import threading
import time
from pathlib import Path
from queue import Empty, SimpleQueue
from types import TracebackType

from pipelines import facts
from pipelines.errors import PublishConflict, StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Snapshot
from pipelines.recipe import Stage, dump
from pipelines.run import Run
from pipelines.training.job import Saved
from pipelines.training.spending import Spending

BRANCH = "checkpoint"
FOLDER = "checkpoint"
PAUSE = 60.0
"""Seconds between two checkpoints at the least. Each takes two commits, and the Hub bears 128 an hour in a repo."""
LEFT_OUT = ("README.md", "training_args.bin")
"""Files that nothing reads, and that name folders of this machine."""


def find(run: Run, stage: Stage, inputs: tuple[Input, ...]) -> Snapshot | None:
    """The checkpoint of this very training, where there is one."""
    repo, _ = run.written(stage)
    there = run.hub.snapshot(repo, "model", stage, BRANCH)
    if there is None or there.facts is None or there.facts.complete:
        return None
    if (there.facts.digest, there.facts.inputs) == (run.recipe.digest(stage), inputs):
        return there
    run.screen.say(f"{stage}: the checkpoint in {repo} is of another recipe, data set or student: it is not used")
    return None


def fetch(run: Run, found: Snapshot) -> Path:
    """Its folder on this machine."""
    folder = run.hub.folder(found.repo, "model", found.revision, only=(f"{FOLDER}/*",)) / FOLDER
    assert found.facts
    told = found.facts
    run.screen.say(f"{told.stage}: goes on from step {told.details['step']}, the checkpoint in {found.repo}")
    return folder


class Checkpoints:
    """Publishes checkpoints while the training goes on, the newest first; one that is overtaken is dropped, and so is
    one that still waits when the training has come to its end, unless it is settled."""

    def __init__(self, run: Run, stage: Stage, inputs: tuple[Input, ...], student: Input, spending: Spending) -> None:
        self.run, self.inputs, self.student, self.spending = run, inputs, student, spending
        self.stage: Stage = stage
        self.repo, _ = run.written(stage)
        self._offered = SimpleQueue[Saved | None]()
        self._closing, self._settling = threading.Event(), False
        self._failed: StageError | None = None
        self._worker = threading.Thread(target=self._work, daemon=True)
        self._parent: str | None = None
        self._last = -PAUSE
        self.conflict: PublishConflict | None = None

    def __enter__(self) -> "Checkpoints":
        self._worker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._settling |= kind is not None  # whoever goes on from here begins at the newest
        self._closing.set()
        self._offered.put(None)
        self._worker.join()

    def offer(self, saved: Saved) -> None:
        if self.conflict:
            raise self.conflict
        self._offered.put(saved)

    def settle(self) -> None:
        """Publish the newest, too, and wait for it; StageError where that fails."""
        self._settling = True
        self._closing.set()
        self._offered.put(None)
        self._worker.join()
        if error := self.conflict or self._failed:
            raise error

    def drop(self) -> None:
        if self.run.hub.snapshot(self.repo, "model", revision=BRANCH):
            self.run.hub.drop_branch(self.repo, "model", BRANCH)

    def _work(self) -> None:
        while saved := self._newest():
            try:
                self._publish(saved)
                self._failed = None
            except PublishConflict as conflict:
                self.conflict = conflict
                return
            except StageError as error:  # hours of training are worth more than one checkpoint
                self._failed = error
                self.run.screen.say(
                    f"{self.stage}: no checkpoint at step {saved.step}, the next one will be tried: {error}"
                )
            shutil.rmtree(saved.folder)

    def _newest(self) -> Saved | None:
        """The newest that is offered once the pause is over; None when there will be no more."""
        saved = self._offered.get()
        self._closing.wait(max(0.0, self._last + PAUSE - time.monotonic()))
        while saved is not None:
            try:
                later = self._offered.get_nowait()
            except Empty:
                return saved
            if later is None and self._settling:
                self._offered.put(None)
                return saved
            shutil.rmtree(saved.folder)
            saved = later
        return None

    def _publish(self, saved: Saved) -> None:
        hub, repo = self.run.hub, self.repo
        if self._parent is None:
            hub.create(repo, "model", self.run.recipe.private)
            hub.branch(repo, "model", BRANCH)
        before = hub.snapshot(repo, "model", revision=BRANCH)
        files = self._files(saved)
        stale = [path for path in (before.files if before else ()) if path not in files and path != ".gitattributes"]
        parent = self._parent or (before.revision if before else None)
        hub.publish(repo, "model", f"Checkpoint at step {saved.step}", files, stale, parent, BRANCH)
        self._parent = hub.squash(repo, "model", BRANCH)  # else the branch would keep every checkpoint there was
        self._last = time.monotonic()

    def _files(self, saved: Saved) -> dict[str, bytes | Path]:
        folder = Path(saved.folder)
        files: dict[str, bytes | Path] = {
            f"{FOLDER}/{path.relative_to(folder).as_posix()}": path
            for path in sorted(folder.rglob("*"))
            if path.is_file() and path.name not in LEFT_OUT
        }
        adapter = f"{FOLDER}/adapter_config.json"
        if isinstance(path := files.get(adapter), Path):
            named = {"base_model_name_or_path": self.student.repo, "revision": self.student.revision}
            files[adapter] = json.dumps(json.loads(path.read_text("utf-8")) | named, indent=2).encode()
        files["README.md"] = (
            f"---\nbase_model: {self.student.repo}\n---\n"
            f"# {self.repo}, in training\n\nStep {saved.step}. This is no finished model: the command that began "
            "the training goes on from here, on whatever machine.\n"
        ).encode()
        files["run/recipe.yaml"] = dump(self.run.recipe).encode()
        files[f"run/{self.stage}.json"] = self._facts(saved).model_dump_json(indent=2).encode()
        return files

    def _facts(self, saved: Saved) -> Facts:
        return Facts(
            stage=self.stage,
            recipe=self.run.recipe.name,
            digest=self.run.recipe.digest(self.stage),
            complete=False,
            inputs=self.inputs,
            spent=(self.spending.read(),),
            seconds=self.spending.seconds,
            **facts.here(),
            details={"step": saved.step},
        )
