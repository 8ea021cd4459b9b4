"""How much memory a million rows take on their way through *judge* and *choose*, and how soon a resumed run is at work.

    python tests/benchmarks/flow.py memory [--rows 1000000] [--letters 300]
    python tests/benchmarks/flow.py resume [--rows 1000000] [--rows-in-a-part 1000]

An embedded Hub in a temporary folder is filled with made-up rows; each stage is a process of its own, whose peak of
resident memory is printed (`VmHWM`; `ru_maxrss` begins with that of the process it was started from). The checks of
*judge* are the free ones, on chains of so many letters, which are all the same, so that their languages are found only
once: it is the memory that is measured. *resume* leaves eight samples to take, and tells the seconds, and those of its
own processor time, from the start of the process until the first of them is asked for, on a machine that has nothing
but what the Hub says. Exit code 1 where memory passes 1 GB (500 MB for *resume*) or the first request comes after more
than 30 s.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
STAGE = """
import json, sys, time
from pathlib import Path
from pipelines import hub, language, recipe
from pipelines.run import Run
from pipelines.screen import Screen
from importlib import import_module
report, known = language.report, {}
language.report = lambda text, labels: known.get(text) or known.setdefault(text, report(text, labels))
started = time.monotonic()
run = Run(recipe.Recipe.model_validate(json.loads(sys.argv[2])), hub.connect(None), Screen())
import_module(f"pipelines.stages.{sys.argv[1]}").run(run)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(json.dumps([int(peak.split()[1]) / 1024, time.monotonic() - started]))
"""
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


def stage(name: str, config: dict[str, Any]) -> tuple[float, float]:
    """Peak memory in MB, and seconds."""
    line = [sys.executable, "-c", STAGE, name, json.dumps(config)]
    ended = subprocess.run(line, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    memory, seconds = json.loads(ended.stdout.splitlines()[-1])
    return memory, seconds


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
        peak, seconds = stage(name, recipe())
        print(f"{name}: {rows:,} rows of {letters} letters in {seconds:.0f} s, at most {peak:.0f} MB", flush=True)
        good &= peak < 1000
    return good


def resume(rows: int, in_a_part: int) -> bool:
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
        counts = {"generated": rows, "finished": rows}
        made = candidates(names, prompts, in_a_part, 4000)
        publish("million-candidates", "generate", made, counts, parsed.digest("generate"))
        del items, names, prompts, asked
        began = time.monotonic()
        script.asked.clear()
        line = [sys.executable, "-c", STAGE, "generate", json.dumps(config)]
        with subprocess.Popen(line, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            script.asked.wait(600)
            first, busy = time.monotonic() - began, processor_seconds(process.pid)
            output, _ = process.communicate()
    peak = json.loads(output.splitlines()[-1])[0]
    told = f"the first request after {first:.1f} s ({busy:.1f} s of processor time)"
    print(f"resume: {rows:,} samples there, {told}, at most {peak:.0f} MB", flush=True)
    return first <= 30 and peak < 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["memory", "resume"])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--letters", type=int, default=300)
    parser.add_argument("--rows-in-a-part", type=int, default=1_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, hub_server(Path(folder)):
        if chosen.what == "memory":
            good = memory(chosen.rows, chosen.letters)
        else:
            good = resume(chosen.rows, chosen.rows_in_a_part)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
