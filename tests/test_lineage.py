"""lineage.py: what something was made from is found, at the commit that was read, with what became of it since."""

import io
from collections.abc import Callable, Sequence

import pytest
from rich.console import Console
from rows import prompt
from test_choose import judged

from pipelines import hub, lineage
from pipelines.errors import StageError
from pipelines.facts import Facts, Input
from pipelines.hub import Hub, Kind, part
from pipelines.records import Candidate, Row
from pipelines.screen import Screen
from pipelines.stages.choose import conversation

Publish = Callable[..., Input]


@pytest.fixture
def connected(hub_server: str) -> Hub:
    return hub.connect(None)


@pytest.fixture
def publish(connected: Hub, name: str) -> Publish:
    """Publish a repo of the test's own as a stage does; returns what a stage that read it would name."""

    def published(
        what: str, stage: str = "", inputs: Sequence[Input] = (), rows: Sequence[Row] = (), kind: Kind = "dataset"
    ) -> Input:
        repo = f"local/{name}-{what}"
        connected.create(repo, kind, private=False)
        told = Facts(stage=stage, recipe=name, digest="d", complete=True, inputs=tuple(inputs))
        files = {f"run/{stage}.json": told.model_dump_json().encode()} if stage else {"words.txt": b"1"}
        if rows:
            files |= dict([part("data", type(rows[0]), rows, "ru")])
        return Input(repo=repo, kind=kind, revision=connected.publish(repo, kind, "made", files))

    return published


def shown(what: str) -> str:
    console = Console(file=io.StringIO(), width=300, force_terminal=False)
    lineage.run(what, Screen(console))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line(text: str, repo: str) -> str:
    return next(line for line in text.splitlines() if f"{repo} " in line or f"{repo}#" in line)


def test_a_model_is_walked_back_to_its_sources_at_the_commits_that_were_read(publish: Publish) -> None:
    source = publish("source")
    prompts = publish("prompts", "prompts", [source])
    base = publish("base", kind="model")
    data = publish("data", "choose", [prompts])
    model = publish("model", "train", [data, base], kind="model")
    text = shown(model.repo)
    for read in (source, prompts, base, data, model):
        assert f"{read.repo} at {read.revision[:12]}  unchanged" in line(text, read.repo)
    depth = {read.repo: line(text, read.repo).index("local/") for read in (model, data, base, prompts, source)}
    assert depth[model.repo] < depth[data.repo] == depth[base.repo] < depth[prompts.repo] < depth[source.repo]
    assert "all of the 5 are there as they were read" in text


def test_what_is_gone_changed_or_only_edited_is_told(connected: Hub, publish: Publish) -> None:
    gone, changed, edited, squashed = (publish(what) for what in ("gone", "changed", "edited", "squashed"))
    model = publish("model", "train", [gone, changed, edited, squashed], kind="model")
    connected.api.delete_repo(gone.repo, repo_type="dataset")
    after = connected.publish(changed.repo, "dataset", "more", {"words.txt": b"2"})
    connected.publish(edited.repo, "dataset", "by hand", {"README.md": b"# Words"})
    lost = squashed.model_copy(update={"revision": "0" * 40})
    other = publish("other", "train", [lost], kind="model")
    text = shown(model.repo)
    assert "gone or private" in line(text, gone.repo)
    assert "changed since" in line(text, changed.repo)
    assert f"now at {after[:12]}" in text
    assert "card edited" in line(text, edited.repo)
    assert "of 5: 1 changed since, 1 gone" in text
    assert "commit gone" in line(shown(other.repo), squashed.repo)


def test_an_earlier_commit_has_the_inputs_that_it_had(publish: Publish) -> None:
    first, second = publish("first"), publish("second")
    before = publish("model", "train", [first], kind="model")
    publish("model", "train", [second], kind="model")
    assert (first.repo in shown(before.repo), second.repo in shown(before.repo)) == (False, True)
    earlier = shown(f"{before.repo}@{before.revision}")
    assert (first.repo in earlier, second.repo in earlier) == (True, False)


def test_a_row_is_walked_back_over_the_rows_that_it_was_made_from(connected: Hub, publish: Publish) -> None:
    asked = prompt(7).model_copy(update={"dataset": "x/y", "text": "Сколько\x1b[31m будет\n[bold]7?"})
    verdict = judged("b" * 16, scores={"logic": 4.0}).model_copy(update={"prompt": asked, "candidate": "c" * 16})
    sample = Candidate.model_validate({key: getattr(verdict, key) for key in Candidate.model_fields} | {"id": "c" * 16})
    source = publish("source")
    asked = asked.model_copy(update={"dataset": source.repo})
    prompts = publish("prompts", "prompts", [source], [asked])
    samples = publish("candidates", "generate", [prompts], [sample])
    verdicts = publish("judged", "judge", [samples], [verdict])
    data = publish("data", "choose", [verdicts], [conversation(verdict, None)])
    text = shown(f"{data.repo}#{verdict.id}")
    rows = ((data, verdict.id), (verdicts, verdict.id), (samples, sample.id), (prompts, asked.id))
    places = [text.index(f"{read.repo}#{name} at {read.revision[:12]}  unchanged") for read, name in rows]
    assert places == sorted(places) < [text.index(f"{source.repo} at")] * 4
    for told in ("chosen", "logic 4 by m", "sample 0, seed 0, stop", "row 7"):
        assert told in text
    assert "Сколько [31m будет [bold]7?" in text  # as text: neither the terminal nor rich reads it
    connected.publish(samples.repo, "dataset", "less", {}, delete=[part("data", Candidate, [sample], "ru")[0]])
    assert "row gone" in line(shown(f"{data.repo}#{verdict.id}"), samples.repo)


def test_facts_that_name_themselves_as_their_input_come_to_an_end(publish: Publish, connected: Hub) -> None:
    first = publish("data", "choose", rows=[conversation(judged("a" * 16), None)])
    again = first.model_copy(update={"revision": "main"})
    told = Facts(stage="choose", recipe="r", digest="d", complete=True, inputs=(again,)).model_dump_json().encode()
    connected.publish(first.repo, "dataset", "a circle", {"run/choose.json": told, "run/judge.json": told})
    assert "as above" in shown(first.repo)
    assert "as above" in shown(f"{first.repo}#{'a' * 16}")


def test_facts_that_cannot_be_read_are_told_and_not_followed(publish: Publish, connected: Hub) -> None:
    made = publish("data", "choose")
    connected.publish(made.repo, "dataset", "nonsense", {"run/choose.json": b'{"inputs": 1}'})
    assert "no facts that can be read" in shown(made.repo)


def test_what_is_not_there_is_one_line(publish: Publish) -> None:
    made = publish("data", "choose", rows=[judged("a" * 16)])
    for what in ("local/nothing-of-this-name", f"{made.repo}@{'1' * 40}", "a/b/c"):
        with pytest.raises(StageError) as told:
            shown(what)
        assert "\n" not in str(told.value)
    assert "row gone" in shown(f"{made.repo}#{'f' * 16}")


def test_a_model_and_a_data_set_of_one_name_are_told_apart(publish: Publish) -> None:
    data, _ = publish("both"), publish("both", kind="model")
    with pytest.raises(StageError, match=f"datasets/{data.repo}"):
        shown(data.repo)
    assert data.revision[:12] in shown(f"datasets/{data.repo}")


def test_nothing_is_cut_on_a_narrow_screen(publish: Publish) -> None:
    repo = publish("model", "train", [publish("data", "choose", [publish("prompts", "prompts")])], kind="model").repo
    console = Console(file=io.StringIO(), width=60, force_terminal=False)
    lineage.run(repo, Screen(console))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 60
    assert "".join(text.split()).count("unknown") == 3  # the end of each line of what made it
