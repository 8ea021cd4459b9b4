"""A GGUF model behind an OpenAI-compatible server: llama.cpp's own, as the wheel xllamacpp brings it.

python -m pipelines.servers.llamacpp --model MODEL.gguf --alias NAME --port 8080 --parallel 8 --context 2048
"""

import argparse
import importlib
import os
import signal
import sys
from types import ModuleType

from pipelines.servers import common_options, end_on_signal


def parameters(options: argparse.Namespace, xllamacpp: ModuleType) -> object:
    chosen = xllamacpp.CommonParams()
    chosen.model.path = str(options.model)
    chosen.model_alias = {options.alias}
    chosen.hostnames = [options.host]
    chosen.port = options.port
    chosen.n_parallel = options.parallel
    chosen.n_ctx = options.parallel * options.context
    chosen.cpuparams.n_threads = options.threads
    chosen.cpuparams_batch.n_threads = options.threads
    chosen.use_jinja = True
    chosen.cache_prompt = True
    # A think block stays where the model wrote it: taking it apart is for `chains`, on every engine alike.
    chosen.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
    # Slots keep their own prefix; up to 8 GiB more of old prompts would not be asked for again.
    chosen.cache_ram_mib = 0
    # Nothing is left to fit, since context and threads are given; trying takes a second.
    chosen.fit_params = False
    # What goes wrong in a request is in its answer; what goes wrong before, in the one line of `main`.
    chosen.verbosity = 0
    return chosen


def main() -> None:
    options = _options()
    if os.environ.get("GOMP_SPINCOUNT") != "0":
        # Idle threads of libgomp spin for their next task and take the cores from those at work. It reads this
        # before any of our code could set it.
        os.environ["GOMP_SPINCOUNT"] = "0"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves again
    if not options.model.is_file():
        sys.exit(f"there is no file {options.model}: check the model's repo and `file` in the recipe")
    xllamacpp = importlib.import_module("xllamacpp")  # a C extension that tells a type checker nothing
    try:
        server = xllamacpp.Server(parameters(options, xllamacpp))
    except RuntimeError:
        sys.exit(
            f"llama.cpp does not start with {options.model} on {options.host}:{options.port}: "
            "either the file is no complete GGUF model, or the port is taken"
        )
    # Not sooner: loading holds the interpreter, so a handler would wait for its end, where the default ends at once.
    end_on_signal()
    print(f"{options.alias} at {server.listening_address}", flush=True)
    while True:
        signal.pause()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m pipelines.servers.llamacpp", description=__doc__)
    common_options(parser, "the GGUF file")
    parser.add_argument("--parallel", type=int, default=8, help="requests answered at the same time")
    parser.add_argument("--context", type=int, default=4096, help="tokens per request, prompt and answer together")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


if __name__ == "__main__":
    main()
