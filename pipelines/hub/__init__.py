"""Read rows at a pinned commit; publish rows, card and run facts in one guarded commit.

The only room that talks to the Hub. Where the rows of a data-set repo lie:

    data/LANGUAGE/PART.parquet       the rows that the next stage reads; one config per language
    rejected/LANGUAGE/PART.parquet   the rows that it does not, each with its reason
    failures/LANGUAGE/PART.parquet   samples that failed; taken up again by the next run
    FORMAT/LANGUAGE/PART.parquet     of the chosen data set also: the rows of `data` in other programs' columns
    run/STAGE.json                   the run facts: what made these rows, from what
    README.md                        the card; its `configs` name the parquet files, so the rest stays out of the viewer
"""

from pipelines.hub.account import connect as connect
from pipelines.hub.repos import Hub as Hub
from pipelines.hub.snapshot import Kind as Kind
from pipelines.hub.snapshot import Snapshot as Snapshot
from pipelines.hub.snapshot import part as part
from pipelines.hub.snapshot import part_path as part_path
