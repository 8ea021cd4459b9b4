"""When a commit may be made: the Hub takes 128 an hour in one repo."""

from dataclasses import dataclass, field

COMMITS_AN_HOUR = 120
"""Of the 128, so that the last commits of a run are never one too many."""
AT_ONCE = 8


@dataclass
class Pace:
    """A token bucket that `writers` of the same repo share: short stages may commit at once, long ones evenly."""

    writers: int
    now: float
    tokens: float = field(init=False)

    def __post_init__(self) -> None:
        self.tokens = self._most

    @property
    def _most(self) -> float:
        return max(1.0, AT_ONCE / self.writers)

    def ready(self, now: float) -> bool:
        """`now` in seconds of any clock that does not go back."""
        passed, self.now = now - self.now, now
        self.tokens = min(self._most, self.tokens + passed * COMMITS_AN_HOUR / 3600 / self.writers)
        return self.tokens >= 1

    def spend(self) -> None:
        self.tokens -= 1

    def rest(self) -> None:
        """After a commit that the Hub did not take."""
        self.tokens = 0.0
