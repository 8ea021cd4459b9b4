"""What can go wrong, how a person sees it, and where it is caught.

Problem                 one clear line on the screen that says what to do; caught in `__main__` alone
|-- RecipeError         the recipe is wrong: exit code 2, nothing was started
`-- StageError          a stage cannot go on: exit code 1, what it had published stays published
    |-- PublishConflict somebody else moved the branch under a commit that depends on what it held
    |-- LaunchFailed    a stage that was launched elsewhere did not end well there: its own exit code
    |-- BudgetSpent     the recipe's budget is used up: exit code 3, all that was made is published
    |-- Unavailable     a data set that this token cannot read; an evaluation goes on without it and says so
    `-- HubAway         the Hub takes no commit now; a checkpoint is tried again later, by `flow`

SampleError             one sample failed after its retries; caught by `flow`, becomes a `Failure` row
"""


class Problem(Exception):
    """An error whose text is meant for a person: one line, with what to do about it."""

    exit_code = 1


class RecipeError(Problem):
    exit_code = 2


class StageError(Problem):
    pass


class PublishConflict(StageError):
    pass


class LaunchFailed(StageError):
    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class BudgetSpent(StageError):
    exit_code = 3


class Unavailable(StageError):
    pass


class HubAway(StageError):
    pass


class SampleError(Exception):
    """`reason` is a stable short name to group by; the message tells the whole story."""

    def __init__(self, reason: str, message: str, attempts: int = 1) -> None:
        super().__init__(message)
        self.reason = reason
        self.attempts = attempts
