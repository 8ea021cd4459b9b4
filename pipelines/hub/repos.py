"""Read rows at a pinned commit; publish rows, card and run facts in one guarded commit."""

import re
import secrets
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    hf_hub_download,
    hf_hub_url,
    snapshot_download,
    try_to_load_from_cache,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import build_hf_headers
from pydantic import ValidationError

from pipelines.errors import HubAway, PublishConflict, StageError, Unavailable
from pipelines.facts import Facts, Input, Past
from pipelines.hub import trusted_publisher
from pipelines.hub.remote import Remote
from pipelines.hub.replies import asked_to_wait, asking, reason, unreachable
from pipelines.hub.snapshot import Kind, Snapshot
from pipelines.parquet import read_rows
from pipelines.records import Row

R = TypeVar("R", bound=Row)

COMMIT_ATTEMPTS = 6
READERS = 16


@dataclass(frozen=True, slots=True)
class Hub:
    api: HfApi
    namespace: str

    @property
    def token(self) -> str:
        """For a process or a container that has to do what we may do; a Trusted Publisher has none to give."""
        return str(self.api.token or "")

    def repo(self, name: str) -> str:
        return name if "/" in name else f"{self.namespace}/{name}"

    def address(self, repo: str, kind: Kind) -> str:
        return f"{self.api.endpoint}/{'datasets/' if kind == 'dataset' else ''}{repo}"

    def snapshot(self, repo: str, kind: Kind, stage: str | None = None, revision: str | None = None) -> Snapshot | None:
        """The repo at `revision` (its newest commit by default), or None where there is no such repo or revision."""
        try:
            info = self._info(repo, kind, revision)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            return None
        files = tuple(sibling.rfilename for sibling in info.siblings or ())
        path = f"run/{stage}.json"
        text = self.text(repo, kind, str(info.sha), path) if path in files else None
        return Snapshot(repo, kind, str(info.sha), files, Facts.model_validate_json(text) if text else None)

    def need(self, repo: str, kind: Kind, stage: str) -> Snapshot:
        """The newest commit of what an earlier stage published, or a StageError that says which stage to run."""
        snapshot = self.snapshot(repo, kind, stage)
        if snapshot is None or snapshot.facts is None:
            raise StageError(f"{repo} holds nothing published by the stage {stage}: run {stage} first")
        if not snapshot.facts.complete:
            raise StageError(f"{repo} is not finished: run {stage} again, it takes up where it stopped")
        return snapshot

    def metadata(self, repo: str, kind: Kind) -> Mapping[str, Any]:
        """What a repo's card says of it for machines; nothing where there is no such repo."""
        try:
            card = self._info(repo, kind, None).card_data
        except RepositoryNotFoundError:
            return {}
        return card.to_dict() if card else {}

    def revision(self, repo: str, kind: Kind, revision: str | None = None) -> str:
        """The commit that a branch, a tag or None (main) stands for now."""
        try:
            return str(self._info(repo, kind, revision).sha)
        except RepositoryNotFoundError:
            what = "model" if kind == "model" else "data set"
            raise Unavailable(
                f"{self.api.endpoint} has no {what} {repo} that this token may read: check its name in the recipe"
            ) from None
        except RevisionNotFoundError:
            raise StageError(f"{repo} has no revision {revision}: check it in the recipe") from None

    def text(self, repo: str, kind: Kind, revision: str, path: str) -> str:
        return Path(self.file(repo, kind, revision, path)).read_text("utf-8")

    def licences(self, read: Input) -> dict[str, str]:
        """By repo what its card says, or what the facts of the run that made it know of all behind it."""
        if read.repo.count("/") != 1:
            return {}
        info, told = self._at(read)
        if told:
            return dict(told.licences)
        said = (info.card_data or {}).get("license") if info else None
        return {read.repo: ", ".join(map(str, said)) if isinstance(said, list) else str(said or "")}

    def history(self, reads: Iterable[Input]) -> tuple[Past, ...]:
        """The stages that made what is read, those before them with them."""
        repos = [read for read in reads if read.repo.count("/") == 1]
        found = ((read.repo, *self._at(read)) for read in repos)
        known = (told.past(repo, str(info.sha)) for repo, info, told in found if info and told)
        return tuple(dict.fromkeys(past for several in known for past in several))

    def _at(self, read: Input) -> tuple[Any, Facts | None]:
        """What the Hub says of a repo at the commit that was read, None where it says nothing; and the facts of the run
        that made it. A model was made by its training, whatever came after."""
        kind: Kind = "model" if read.kind == "model" else "dataset"
        try:
            info = self._info(read.repo, kind, read.revision or None)
            told = [one.rfilename for one in info.siblings or () if re.fullmatch(r"run/\w+\.json", one.rfilename)]
            trained = (path for path in ("run/train.json", "run/reinforce.json") if path in told)
            path = next(trained, next(iter(told), None))
            text = self.text(read.repo, kind, str(info.sha), path) if path else None
            return info, Facts.model_validate_json(text) if text else None
        except (RepositoryNotFoundError, RevisionNotFoundError, ValidationError, StageError):
            return None, None

    def contents(self, snapshot: Snapshot) -> dict[str, str]:
        """The hash of each file by its path."""
        info = self._info(snapshot.repo, snapshot.kind, snapshot.revision, hashes=True)
        return {sibling.rfilename: str(sibling.blob_id) for sibling in info.siblings or ()}

    def card(self, snapshot: Snapshot) -> str:
        """The text of the repo's README.md; empty where there is none."""
        if "README.md" not in snapshot.files:
            return ""
        path = self.file(snapshot.repo, snapshot.kind, snapshot.revision, "README.md")
        return Path(path).read_bytes().decode("utf-8", "replace")

    def file(self, repo: str, kind: Kind, revision: str, path: str) -> str:
        """The local path of a file of the repo, downloaded unless it is in the cache."""
        try:
            return hf_hub_download(
                repo, path, repo_type=kind, revision=revision, endpoint=self.api.endpoint, token=self.api.token
            )
        except LocalEntryNotFoundError as error:  # what the client says when the Hub cannot be reached
            raise unreachable(self.api.endpoint, error.__cause__ or error) from None
        except EntryNotFoundError:
            raise StageError(f"{repo} has no file {path} at {revision[:12]}: check `file` in the recipe") from None

    def folder(
        self, repo: str, kind: Kind, revision: str, ignore: Sequence[str] = (), only: Sequence[str] | None = None
    ) -> Path:
        try:
            path = snapshot_download(
                repo,
                repo_type=kind,
                revision=revision,
                endpoint=self.api.endpoint,
                token=self.api.token,
                ignore_patterns=list(ignore),
                allow_patterns=list(only) if only else None,
            )
        except LocalEntryNotFoundError as error:
            raise unreachable(self.api.endpoint, error.__cause__ or error) from None
        return Path(path)

    def rows(
        self, snapshot: Snapshot, record: type[R], folder: str = "data", languages: Iterable[str] | None = None
    ) -> Iterator[R]:
        """The rows of a folder, file by file in the order of their names, each validated."""
        for part in snapshot.parts(folder, languages):
            yield from self.part_rows(snapshot, part, record)

    def part_rows(self, snapshot: Snapshot, part: str, record: type[R]) -> Iterator[R]:
        return read_rows(self.file(snapshot.repo, snapshot.kind, snapshot.revision, part), record)

    def columns(self, snapshot: Snapshot, parts: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, pa.Table]]:
        """Of each part some columns alone, of which only the bytes are fetched; a column that is not there is left
        out."""
        with ThreadPoolExecutor(READERS) as readers:
            tables = readers.map(lambda part: self._columns(snapshot, part, names), parts)
            yield from zip(parts, tables, strict=True)

    def create(self, repo: str, kind: Kind, private: bool) -> None:
        if trusted_publisher.repo():
            raise StageError(f"{repo} is not there, and a Trusted Publisher cannot create it: create it once by hand")
        self.api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)

    def branch(self, repo: str, kind: Kind, name: str) -> None:
        """Make a branch that begins at main, unless there is one of that name."""
        with asking(self.api.endpoint, repo):
            self.api.create_branch(repo, repo_type=kind, branch=name, exist_ok=True, token=self._writer(repo, kind))

    def drop_branch(self, repo: str, kind: Kind, name: str) -> None:
        with asking(self.api.endpoint, repo):
            self.api.delete_branch(repo, repo_type=kind, branch=name, token=self._writer(repo, kind))

    def squash(self, repo: str, kind: Kind, branch: str) -> str:
        """Make one commit of all that a branch has; returns its id."""
        with asking(self.api.endpoint, repo):
            self.api.super_squash_history(repo, repo_type=kind, branch=branch, token=self._writer(repo, kind))
        return self.revision(repo, kind, branch)

    def publish(
        self,
        repo: str,
        kind: Kind,
        message: str,
        files: Mapping[str, bytes | Path],
        delete: Iterable[str] = (),
        parent: str | None = None,
        branch: str = "main",
    ) -> str:
        """One commit with all of `files` added and all of `delete` removed; returns its id.

        The commit goes on top of `parent`, and if the branch has moved since, PublishConflict is raised and nothing
        is written. The client does not retry a commit, and a broken connection does not tell whether it went
        through: so the branch is searched for the commit's own mark before it is tried again. HubAway says that it
        did not go through after all.
        """
        gone, failure, mark = tuple(delete), "", f"attempt {secrets.token_hex(8)}"
        for attempt in range(COMMIT_ATTEMPTS):
            operations = [  # made anew: the client takes none that was in a commit before
                *(CommitOperationDelete(path) for path in gone),
                *(CommitOperationAdd(path, content) for path, content in files.items()),
            ]
            try:
                return self.api.create_commit(
                    repo,
                    operations,
                    commit_message=message,
                    commit_description=mark,
                    repo_type=kind,
                    revision=branch,
                    parent_commit=parent,
                    token=self._writer(repo, kind),
                ).oid
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status in (409, 412):
                    if attempt and (landed := self._landed(repo, kind, mark, branch)):
                        return landed
                    raise PublishConflict(f"{repo} changed while it was being written: run the stage again") from None
                if status < 500 and status != 429:
                    raise StageError(f"{repo}: the Hub refused the commit: {reason(error)}") from None
                failure = reason(error)
                wait = asked_to_wait(error.response)
            except httpx2.TransportError as error:
                failure, wait = f"{type(error).__name__}: {error}", 0.0
            if landed := self._landed(repo, kind, mark, branch):
                return landed
            time.sleep(max(wait, min(60, 2**attempt)))
        raise HubAway(f"{repo}: the commit failed {COMMIT_ATTEMPTS} times, last with {failure}: run the stage again")

    def _writer(self, repo: str, kind: Kind) -> str | bool | None:
        """The token to write `repo` with: a Trusted Publisher has one for each repo, and *evaluate* writes two."""
        return trusted_publisher.token(repo, kind) if trusted_publisher.repo() else self.api.token

    def _landed(self, repo: str, kind: Kind, mark: str, branch: str) -> str | None:
        """The commit with our mark, when there is one after all, even under commits of others."""
        try:
            commits = self.api.list_repo_commits(repo, repo_type=kind, revision=branch)
        except (HfHubHTTPError, httpx2.TransportError):
            return None
        return next((commit.commit_id for commit in commits if mark in commit.message), None)

    def _columns(self, snapshot: Snapshot, part: str, names: Sequence[str]) -> pa.Table:
        place = snapshot.repo, part
        cached = try_to_load_from_cache(*place, repo_type=snapshot.kind, revision=snapshot.revision)
        if isinstance(cached, str):
            file: Any = cached
        else:
            url = hf_hub_url(*place, repo_type=snapshot.kind, revision=snapshot.revision, endpoint=self.api.endpoint)
            file = pa.PythonFile(Remote(url, build_hf_headers(token=self.api.token)), "r")
        with pq.ParquetFile(file) as parquet:
            return parquet.read([name for name in names if name in parquet.schema_arrow.names])

    def _info(self, repo: str, kind: Kind, revision: str | None, hashes: bool = False) -> Any:
        try:
            return self.api.repo_info(repo, repo_type=kind, revision=revision, files_metadata=hashes)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except HFValidationError:
            raise StageError(f"{repo!r} is no repo id, which is NAMESPACE/NAME: check it in the recipe") from None
        except HfHubHTTPError as error:
            raise StageError(f"{self.api.endpoint} answers {reason(error)} about {repo}: try again") from None
        except httpx2.TransportError as error:
            raise unreachable(self.api.endpoint, error) from None
