"""Read rows at a pinned commit; publish rows, card and run facts in one guarded commit.

The only file that talks to the Hub. Where the rows of a data-set repo lie:

    data/LANGUAGE/PART.parquet       the rows that the next stage reads; one config per language
    rejected/LANGUAGE/PART.parquet   the rows that it does not, each with its reason
    failures/LANGUAGE/PART.parquet   samples that failed; taken up again by the next run
    run/STAGE.json                   the run facts: what made these rows, from what
    README.md                        the card; its `configs` name the parquet files, so the rest stays out of the viewer
"""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx2
import pyarrow.parquet as pq
from huggingface_hub import (
    CommitOperationAdd,
    CommitOperationDelete,
    HfApi,
    constants,
    get_token,
    hf_hub_download,
    snapshot_download,
)
from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OIDCError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from pipelines.errors import PublishConflict, StageError, Unavailable
from pipelines.facts import Facts, Input
from pipelines.parquet import from_table, to_bytes
from pipelines.records import Row, digest

Kind = Literal["dataset", "model"]
R = TypeVar("R", bound=Row)

COMMIT_ATTEMPTS = 6
PUBLISHER = "HF_OIDC_RESOURCE"
"""The variable that names the repo whose Trusted Publisher we are, in a job on GitHub."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A repo at one commit: its files by path, and the facts of the run that wrote it (None where there are none)."""

    repo: str
    kind: Kind
    revision: str
    files: tuple[str, ...]
    facts: Facts | None

    @property
    def input(self) -> Input:
        """What the facts of a stage that read this name as its input."""
        return Input(repo=self.repo, kind=self.kind, revision=self.revision)

    def parts(self, folder: str, languages: Iterable[str] | None = None) -> list[str]:
        """The parquet files of `data`, `rejected` or `failures`, of all languages or of those named."""
        wanted = None if languages is None else set(languages)
        return [
            file
            for file in self.files
            if file.startswith(f"{folder}/")
            and file.endswith(".parquet")
            and (wanted is None or file.split("/")[1] in wanted)
        ]


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
        """The repo at `revision` (its newest commit by default), or None where there is no such repo."""
        try:
            info = self._info(repo, kind, revision)
        except RepositoryNotFoundError:
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

    def file(self, repo: str, kind: Kind, revision: str, path: str) -> str:
        """The local path of a file of the repo, downloaded unless it is in the cache."""
        try:
            return hf_hub_download(
                repo, path, repo_type=kind, revision=revision, endpoint=self.api.endpoint, token=self.api.token
            )
        except LocalEntryNotFoundError as error:  # what the client says when the Hub cannot be reached
            raise _unreachable(self.api.endpoint, error.__cause__ or error) from None
        except EntryNotFoundError:
            raise StageError(f"{repo} has no file {path} at {revision[:12]}: check `file` in the recipe") from None

    def folder(self, repo: str, kind: Kind, revision: str, ignore: Sequence[str] = ()) -> Path:
        try:
            path = snapshot_download(
                repo,
                repo_type=kind,
                revision=revision,
                endpoint=self.api.endpoint,
                token=self.api.token,
                ignore_patterns=list(ignore),
            )
        except LocalEntryNotFoundError as error:
            raise _unreachable(self.api.endpoint, error.__cause__ or error) from None
        return Path(path)

    def rows(
        self, snapshot: Snapshot, record: type[R], folder: str = "data", languages: Iterable[str] | None = None
    ) -> Iterator[R]:
        """The rows of a folder, file by file in the order of their names, each validated."""
        for part in snapshot.parts(folder, languages):
            path = self.file(snapshot.repo, snapshot.kind, snapshot.revision, part)
            with pq.ParquetFile(path) as file:
                for group in range(file.num_row_groups):
                    yield from from_table(record, file.read_row_group(group))

    def ids(self, snapshot: Snapshot, folder: str) -> dict[str, set[str]]:
        """The ids in each part of a folder: only that column is read."""
        found: dict[str, set[str]] = {}
        for part in snapshot.parts(folder):
            path = self.file(snapshot.repo, snapshot.kind, snapshot.revision, part)
            found[part] = set(pq.read_table(path, columns=["id"])["id"].to_pylist())
        return found

    def create(self, repo: str, kind: Kind, private: bool) -> None:
        if os.environ.get(PUBLISHER):
            raise StageError(f"{repo} is not there, and a Trusted Publisher cannot create it: create it once by hand")
        self.api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)

    def publish(
        self,
        repo: str,
        kind: Kind,
        message: str,
        files: Mapping[str, bytes | Path],
        delete: Iterable[str] = (),
        parent: str | None = None,
    ) -> str:
        """One commit with all of `files` added and all of `delete` removed; returns its id.

        The commit goes on top of `parent`, and if the branch has moved since, PublishConflict is raised and nothing
        is written. The client does not retry a commit, and a broken connection does not tell whether it went
        through: so the branch is looked at before the commit is tried again.
        """
        gone, failure = tuple(delete), ""
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
                    repo_type=kind,
                    parent_commit=parent,
                    token=self._token(repo, kind),
                ).oid
            except HfHubHTTPError as error:
                status = error.response.status_code
                if status in (409, 412):
                    if attempt and (landed := self._landed(repo, kind, message, parent)):
                        return landed
                    raise PublishConflict(f"{repo} changed while it was being written: run the stage again") from None
                if status < 500 and status != 429:
                    raise StageError(f"{repo}: the Hub refused the commit: {_reason(error)}") from None
                failure = _reason(error)
            except httpx2.TransportError as error:
                failure = f"{type(error).__name__}: {error}"
            if landed := self._landed(repo, kind, message, parent):
                return landed
            time.sleep(min(60, 2**attempt))
        raise StageError(f"{repo}: the commit failed {COMMIT_ATTEMPTS} times, last with {failure}: run the stage again")

    def _token(self, repo: str, kind: Kind) -> str | bool | None:
        """A Trusted Publisher gets its token for one repo, and *evaluate* writes two: so for the one to be written."""
        if os.environ.get(PUBLISHER):
            os.environ[PUBLISHER] = f"{'datasets/' if kind == 'dataset' else ''}{repo}"
            return get_token()
        return self.api.token

    def _landed(self, repo: str, kind: Kind, message: str, parent: str | None) -> str | None:
        """The commit with our message directly on `parent`, when there is one after all."""
        try:
            newest = self.api.list_repo_commits(repo, repo_type=kind)[:2]
        except (HfHubHTTPError, httpx2.TransportError):
            return None
        ours = len(newest) == 2 and newest[0].title == message.splitlines()[0] and newest[1].commit_id == parent
        return newest[0].commit_id if ours else None

    def _info(self, repo: str, kind: Kind, revision: str | None) -> Any:
        try:
            return self.api.repo_info(repo, repo_type=kind, revision=revision)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except HFValidationError:
            raise StageError(f"{repo!r} is no repo id, which is NAMESPACE/NAME: check it in the recipe") from None
        except HfHubHTTPError as error:
            raise StageError(f"{self.api.endpoint} answers {_reason(error)} about {repo}: try again") from None
        except httpx2.TransportError as error:
            raise _unreachable(self.api.endpoint, error) from None


def connect(namespace: str | None, reading: bool = False) -> Hub:
    """The Hub at HF_ENDPOINT under the token of HF_TOKEN (or of `hf auth login`), or as a Trusted Publisher.

    For `reading` alone no token is needed, where the namespace is known.
    """
    endpoint = constants.ENDPOINT
    if os.environ.get(PUBLISHER):
        return _publisher(endpoint, namespace)
    token = get_token()
    if not token and reading and namespace:
        return Hub(HfApi(endpoint=endpoint, token=False, library_name="thinkin"), namespace)
    if not token:
        raise StageError(f"there is no token for {endpoint}: set HF_TOKEN to one that may write")
    api = HfApi(endpoint=endpoint, token=token, library_name="thinkin")
    try:
        account = api.whoami()["name"]
    except HfHubHTTPError as error:
        if error.response.status_code == 401:
            raise StageError(f"{endpoint} does not know the token in HF_TOKEN: set one that may write") from None
        raise StageError(f"{endpoint} answers {_reason(error)}: check HF_ENDPOINT") from None
    except httpx2.TransportError as error:
        raise _unreachable(endpoint, error) from None
    except (ValueError, LookupError, TypeError, httpx2.InvalidURL):
        raise StageError(f"what answers at {endpoint} is no Hub: check HF_ENDPOINT") from None
    return Hub(api, namespace or account)


def _publisher(endpoint: str, namespace: str | None) -> Hub:
    """Without a token of its own: the client makes one, and another before it ends after an hour."""
    try:
        get_token()
    except HfHubHTTPError as error:
        told = f"{endpoint} does not take this job as the Trusted Publisher of {os.environ[PUBLISHER]}"
        raise StageError(f"{told}: {_reason(error)}") from None
    except OIDCError as error:
        raise StageError(f"this job cannot prove who it is: {error}") from None
    except httpx2.TransportError as error:
        raise _unreachable(endpoint, error) from None
    return Hub(HfApi(endpoint=endpoint, library_name="thinkin"), namespace or os.environ[PUBLISHER].split("/")[-2])


def part(folder: str, record: type[Row], rows: Sequence[Row], language: str) -> tuple[str, bytes]:
    """The path and the bytes of a parquet file; named after its ids, so that no two writers share a name."""
    return f"{folder}/{language}/{digest([row.id for row in rows])}.parquet", to_bytes(record, rows)


def _unreachable(endpoint: str, error: BaseException) -> StageError:
    return StageError(f"no Hub answers at {endpoint} ({type(error).__name__}): check HF_ENDPOINT and the network")


def _reason(error: HfHubHTTPError) -> str:
    return f"{error.response.status_code} {error.server_message or ''}".strip()
