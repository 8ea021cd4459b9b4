"""How much memory a million rows take on their way through *judge* and *choose*, and how soon a resumed run is at work.

    python tests/benchmarks/flow.py memory [--rows 1000000] [--letters 300]
    python tests/benchmarks/flow.py resume [--rows 1000000] [--letters 2000] [--rows-in-a-part 1000]
    python tests/benchmarks/flow.py journal [--rows 1000000] [--letters 2000]

An embedded Hub in a temporary folder is filled with made-up rows of chains of so many letters, two bytes each; each
stage is a process of its own, and its peak of memory is printed: the proportional share (PSS) of it and of all that it
started, looked at twice a second. The checks of *judge* are the free ones, on all cores.

*resume* and *journal* leave eight samples to take, and tell the seconds, and those of its own processor time, from the
start of the process until the first of them is asked for: *resume* on a machine that has nothing but what the Hub says,
*journal* on the one where the process before was killed while the Hub was away, so that every row is in its journal;
the time until all of these are on the Hub comes after. Exit code 1 where memory passes 1 GB (500 MB for a resumed run)
or the first request comes after more than 30 s (10 s from the journal). Needs 10 GB of disk.
"""

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
STAGE = """
import json, sys
from importlib import import_module
from pipelines import hub, recipe
from pipelines.run import Run
from pipelines.screen import Screen
run = Run(recipe.Recipe.model_validate(json.loads(sys.argv[2])), hub.connect(None), Screen())
import_module(f"pipelines.stages.{sys.argv[1]}").run(run)
"""
LOOK_EVERY = 0.5
SENTENCE = "Сначала посчитаем, сколько было яблок, и сложим их с грушами. "
SAMPLES = 8


@contextmanager
def hub_server(folder: Path) -> Iterator[None]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    os.environ |= {  # the Hub's libraries read them at import
        "HF_ENDPOINT": f"http://127.0.0.1:{port}",
        "HF_TOKEN": "hf_throwaway_writer",
        "HF_HOME": str(folder / "hf"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_UPDATE_DOWNLOAD_COUNTS": "0",
        "THINKIN_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(ROOT),
    }
    from localhub.localhub_server import Server

    server = Server(folder / "hub", port=port)
    try:
        yield
    finally:
        server.stop()


def recipe(url: str = "http://127.0.0.1:1/v1") -> dict[str, Any]:
    source = {"kind": "problems", "families": ["ages"], "rows": 1}
    return {
        "name": "million",
        "languages": ["ru"],
        "engines": {"e": {"kind": "openai", "model": "m", "url": url, "parallel": 8}},
        "prompts": {"sources": [source]},
        "generate": {"engine": "e", "samples": SAMPLES},
        "choose": {"unverified": True},
        "train": {"student": "a/b"},
        "evaluate": {
            "engine": "e",
            "ways": [{"name": "base", "model": "base", "instruction": "plain.v1"}],
            "benchmarks": [{"name": "b", "source": source}],
        },
    }


class Stage:
    """A stage at work in a process of its own; `peak` is the most memory, in MB."""

    def __init__(self, name: str, config: dict[str, Any]) -> None:
        self.began, self.peak = time.monotonic(), 0.0
        line = [sys.executable, "-c", STAGE, name, json.dumps(config)]
        self.process = subprocess.Popen(line, cwd=ROOT, stdout=subprocess.DEVNULL)
        self._watching = threading.Thread(target=self._watch)
        self._watching.start()

    def end(self) -> float:
        """Its seconds."""
        self._watching.join()
        assert self.process.returncode == 0
        return time.monotonic() - self.began

    def _watch(self) -> None:
        while self.process.poll() is None:
            self.peak = max(self.peak, sum(map(share, family(self.process.pid))))
            time.sleep(LOOK_EVERY)


def family(process: int) -> Iterator[int]:
    """A process and all that it started."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from family(int(child))


def share(process: int) -> float:
    """Its part of the memory, in MB."""
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def processor_seconds(process: int) -> float:
    """What a process has used so far, over all its threads."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def publish(repo: str, name: str, tables: Iterator[Any], counts: dict[str, int], digest: str = "") -> None:
    """Parts with made-up names, and facts that say that the stage is complete."""
    import pyarrow.parquet as pq

    from pipelines import facts, hub

    connected = hub.connect(None)
    connected.create(connected.repo(repo), "dataset", private=False)
    told = facts.Facts(stage=name, recipe="million", digest=digest, complete=True, inputs=(), counts={"ru": counts})
    files: dict[str, bytes | Path] = {f"run/{name}.json": told.model_dump_json().encode()}
    with tempfile.TemporaryDirectory() as scratch:
        for number, table in enumerate(tables):
            file = Path(scratch) / f"{number:08}.parquet"
            pq.write_table(table, file, compression="zstd")
            files[f"data/ru/{file.name}"] = file
        connected.publish(connected.repo(repo), "dataset", "made up", files)


def candidates(names: list[str], prompts: list[str], in_a_part: int, letters: int) -> Iterator[Any]:
    """Tables of candidates with these ids for these prompts."""
    import pyarrow as pa
    from rows import prompt

    from pipelines.parquet import to_table
    from pipelines.records import Candidate

    text = (SENTENCE * (letters // len(SENTENCE) + 1))[:letters]
    one = Candidate(
        id="", prompt=prompt(0), sample=0, seed=0, reasoning=text, answer="Ответ: 1", defects=(), finish_reason="stop",
        prompt_tokens=10, completion_tokens=letters // 4, engine="openai", model="m", model_revision="", payload="p",
    )  # fmt: skip
    block = to_table(Candidate, [one] * in_a_part)
    place = block.schema.get_field_index("prompt")
    for start in range(0, len(names), in_a_part):
        table = block.slice(0, len(names[start : start + in_a_part]))
        asked = table["prompt"].combine_chunks()
        fields = [asked.type.field(number) for number in range(asked.type.num_fields)]
        columns = [pa.array(prompts[start : start + in_a_part]), *asked.flatten()[1:]]
        table = table.set_column(0, table.schema.field(0), pa.array(names[start : start + in_a_part]))
        yield table.set_column(place, table.schema.field(place), pa.StructArray.from_arrays(columns, fields=fields))


def memory(rows: int, letters: int) -> bool:
    names = [f"{number:016x}" for number in range(rows)]
    prompts = [f"{number // SAMPLES:016x}" for number in range(rows)]
    counts = {"generated": rows, "finished": rows}
    publish("million-candidates", "generate", candidates(names, prompts, 10_000, letters), counts)
    del names, prompts
    good = True
    for name in ("judge", "choose"):
        work = Stage(name, recipe())
        print(
            f"{name}: {rows:,} rows of {letters} letters in {work.end():.0f} s, at most {work.peak:.0f} MB", flush=True
        )
        good &= work.peak < 1000
    return good


def resume(rows: int, letters: int, in_a_part: int, within: float) -> bool:
    """`in_a_part` is 0 where the rows are in the journal and not on the Hub."""
    from llm_server import Script, serving
    from rows import prompt

    from pipelines.parquet import to_table
    from pipelines.recipe import Recipe
    from pipelines.records import Prompt
    from pipelines.stages import generate

    script = Script(otherwise="<think>\nСчитаем.\n</think>\n\nОтвет: 1")
    with serving(script) as url:
        config = recipe(url)
        parsed = Recipe.model_validate(config)
        asking = generate.askings(parsed)["ru"]
        asked = [prompt(number) for number in range(rows // SAMPLES + 1)]
        publish(
            "million-prompts", "prompts", iter([to_table(Prompt, asked)]), {"sampled": len(asked), "good": len(asked)}
        )
        items = [item for one in asked for item in generate.samples(parsed, one, asking, "")][:rows]
        names, prompts = [item.id for item in items], [item.group for item in items]
        if in_a_part:
            counts = {"generated": rows, "finished": rows}
            made = candidates(names, prompts, in_a_part, letters)
            publish("million-candidates", "generate", made, counts, parsed.digest("generate"))
        else:
            fill_journal(names, prompts, parsed.digest("generate"), letters)
        del items, names, prompts, asked
        script.asked.clear()
        work = Stage("generate", config)
        script.asked.wait(600)
        first, busy = time.monotonic() - work.began, processor_seconds(work.process.pid)
        whole = work.end()
    where = "on the Hub" if in_a_part else "in the journal"
    told = f"the first request after {first:.1f} s ({busy:.1f} s of processor time)"
    print(f"{rows:,} samples {where}: {told}, done after {whole:.0f} s, at most {work.peak:.0f} MB", flush=True)
    return first <= within and work.peak < 500


def fill_journal(names: list[str], prompts: list[str], digest: str, letters: int) -> None:
    """As a process leaves it that made all these rows and was killed before it could publish any."""
    from pipelines import hub
    from pipelines.flow import journal
    from pipelines.flow.segments import LINES, Segment
    from pipelines.ids import keys
    from pipelines.parquet import arrow_schema
    from pipelines.records import Candidate
    from pipelines.records import digest as hashed

    connected = hub.connect(None)
    folder = journal.folder(connected.api.endpoint, connected.repo("million-candidates")) / f"generate-{digest}-1-of-1"
    folder.mkdir(parents=True)
    segment = Segment(folder / f"{1:08}{LINES}", hashed(str(arrow_schema(Candidate))))
    (table,) = candidates(["ID"], ["PROMPT"], 1, letters)
    row = json.dumps(table.to_pylist()[0], ensure_ascii=False)
    line = f'{{"folder":"data","language":"ru","row":{row}}}\n'
    before, between, after = (part.encode() for part in re.split("ID|PROMPT", line))
    for name, prompt, key in zip(names, prompts, keys(names).tolist(), strict=True):
        segment.append(before + name.encode() + between + prompt.encode() + after, key, False, {})
    segment.sync()
    segment.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "resume", "journal"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int)
    parser.add_argument("--rows-in-a-part", type=int, default=1_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, hub_server(Path(folder)):
        if chosen.what == "memory":
            good = memory(chosen.rows, chosen.letters or 300)
        elif chosen.what == "resume":
            good = resume(chosen.rows, chosen.letters or 2000, chosen.rows_in_a_part, 30)
        else:
            good = resume(chosen.rows, chosen.letters or 2000, 0, 10)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
