"""How items become rows of a repo: bounded concurrency, resume, checkpoints, progress, failures.

    with Output(run, "generate", repo, Candidate, inputs, counts) as output:
        pending = output.open(items)            # all that is wanted; back comes what is not there yet
        await each(pending, step, 8, output)    # publishes a checkpoint every so often
        output.finish()                         # the rest, the failures, the facts and the card: one commit

An item's id is the id of its row, so what is published already is never done again, on whatever machine. Items and
rows stream through: in memory are those being worked on, and of all others eight bytes, their id.

    items     what is to be done, and what comes of it
    work      so many items at a time
    output    a repo while one stage writes it: what is there, what is due, when it is complete
    wanted    which items were asked for, and which are there
    branch    the repo's newest commit, and the ids of its rows
    publisher what a commit changes, and how it is put on top of what others have committed meanwhile
    journal   the rows that no commit holds yet, on this machine's disk; segments: their files
    parts     from the journal to parquet files
    spending  what it costs
    ledger    what of that no commit tells of yet, on this machine's disk
    budget    where the recipe says that it has cost enough
    pace      the Hub's limit on commits
"""

from pipelines.flow.items import Item, Placed
from pipelines.flow.output import Output
from pipelines.flow.work import each

__all__ = ["Item", "Output", "Placed", "each"]
