"""Which items a stage was asked for, and which of them are there: eight bytes for each."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from pipelines.flow.items import Item
from pipelines.ids import IdSet, Mask, keys
from pipelines.run import Shard


class Wanted:
    """`asked` are all items that came by, `mine` those of this shard, `done` those whose rows are there."""

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self.asked, self.done = IdSet(), IdSet()
        self.mine = self.asked if shard.of == 1 else IdSet()
        self._guard = threading.Lock()  # items are read in a thread, and thought of in another

    def missing(self, items: Sequence[Item[Any]]) -> Mask:
        """Of each item whether this shard has to make its row; an item that came by before is none."""
        names = keys([item.id for item in items])
        mine = np.array([self.shard.holds(item.group or item.id) for item in items], bool)
        with self._guard:
            new = self.asked.add_all(names)
            if self.mine is not self.asked:
                self.mine.add_all(names[mine])
            return new & mine & ~self.done.holds(names)
