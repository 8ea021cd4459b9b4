"""What requests say: their bodies, typed, so that a handler never meets a value it did not expect."""

import re
import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

RepoType = Literal["model", "dataset"]
Visibility = Literal["public", "private"]
Text = Annotated[str, StringConstraints(max_length=100_000)]
Size = Annotated[int, Field(ge=0, le=1 << 50)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
MAX_PATH = 1000
MAX_DEPTH = 100


def _safe_path(path: str) -> str:
    """A path that stays inside whatever folder a client downloads into, on any system."""
    parts = path.split("/")
    if (
        len(path) > MAX_PATH
        or len(parts) > MAX_DEPTH
        or any(_plain(part) in ("", ".git", "git~1") for part in parts)
        or re.match("[A-Za-z]:", path)
    ):
        raise ValueError(f"not a path inside a repo: {path[:200]!r}")
    if any(ord(character) < 32 or character in "\\\x7f" for character in path):
        raise ValueError(f"a path may not contain backslashes or control characters: {path[:200]!r}")
    if any(len(part.encode()) > 255 for part in parts):
        raise ValueError("a name in a path is longer than 255 bytes")
    return path


def _plain(part: str) -> str:
    """What is left of a name on systems that drop its last dots, ignore its case, or see no difference between
    look-alikes: nothing for `..` and for `.` written wide."""
    visible = "".join(character for character in part if unicodedata.category(character) != "Cf")
    return unicodedata.normalize("NFKC", visible).rstrip(" .").lower()


RepoPath = Annotated[str, AfterValidator(_safe_path)]
FolderPath = Annotated[str, AfterValidator(lambda path: _safe_path(path.rstrip("/")))]


class NamedRepo(BaseModel):
    name: str
    organization: str | None = None
    type: RepoType = "model"


class NewRepo(NamedRepo):
    visibility: Visibility | None = None
    private: bool | None = None


class Move(BaseModel):
    fromRepo: str  # noqa: N815 - the wire's name
    toRepo: str  # noqa: N815
    type: RepoType = "model"


class Duplicate(BaseModel):
    repository: str
    visibility: Visibility | None = None


class Settings(BaseModel):
    visibility: Visibility | None = None
    private: bool | None = None
    gated: Literal["auto", "manual", False] | None = None


class Card(BaseModel):
    content: Annotated[str, StringConstraints(max_length=12 << 20)]
    repoType: str = "model"  # noqa: N815


class PreuploadFile(BaseModel):
    path: RepoPath
    size: Size


class Preupload(BaseModel):
    files: Annotated[list[PreuploadFile], Field(max_length=256)]
    gitIgnore: Text | None = None  # noqa: N815


class LargeObject(BaseModel):
    oid: Sha256
    size: Size


class LargeBatch(BaseModel):
    operation: Literal["upload"]
    objects: Annotated[list[LargeObject], Field(max_length=1000)]


class Header(BaseModel):
    summary: Annotated[str, StringConstraints(max_length=10_000)]
    description: Text = ""
    parentCommit: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{7,64}$")] | None = None  # noqa: N815


class HeaderLine(BaseModel):
    key: Literal["header"]
    value: Header


class File(BaseModel):
    path: RepoPath
    content: str
    encoding: Literal["base64", "utf-8"] = "utf-8"


class LargeFile(BaseModel):
    path: RepoPath
    algo: Literal["sha256"]
    oid: Sha256
    size: Size | None = None


class DeletedFile(BaseModel):
    path: RepoPath


class DeletedFolder(BaseModel):
    path: FolderPath


class FileLine(BaseModel):
    key: Literal["file"]
    value: File


class LargeFileLine(BaseModel):
    key: Literal["lfsFile"]
    value: LargeFile


class DeletedFileLine(BaseModel):
    key: Literal["deletedFile"]
    value: DeletedFile


class DeletedFolderLine(BaseModel):
    key: Literal["deletedFolder"]
    value: DeletedFolder


OperationLine = Annotated[FileLine | LargeFileLine | DeletedFileLine | DeletedFolderLine, Field(discriminator="key")]


class NewBranch(BaseModel):
    startingPoint: str | None = None  # noqa: N815


class NewTag(BaseModel):
    tag: str
    message: Text | None = None


class Squash(BaseModel):
    message: Text | None = None


class NewDiscussion(BaseModel):
    title: Annotated[str, StringConstraints(min_length=3, max_length=200, strip_whitespace=True)]
    description: Text = ""
    pullRequest: bool = False  # noqa: N815


class Comment(BaseModel):
    comment: Annotated[str, StringConstraints(min_length=1, max_length=100_000)]


class NewTitle(BaseModel):
    title: Annotated[str, StringConstraints(min_length=3, max_length=200, strip_whitespace=True)]


class NewStatus(BaseModel):
    status: Literal["open", "closed"]
    comment: Text | None = None
