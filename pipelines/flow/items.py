"""What a stage has to do, and what comes of it."""

from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

from pipelines.records import Row

T = TypeVar("T")
R = TypeVar("R", bound=Row)
FOLDERS = ("data", "rejected")


class Item(NamedTuple, Generic[T]):
    """One row to make: its id, its language, and what it is made from. Items of one `group` go to the same shard. A
    tuple, since a resumed run makes one for every row that is there."""

    id: str
    language: str
    value: T
    group: str = ""


@dataclass(frozen=True, slots=True)
class Placed(Generic[R]):
    """A row and where it belongs: `data`, or `rejected`."""

    row: R
    language: str
    folder: str = "data"
