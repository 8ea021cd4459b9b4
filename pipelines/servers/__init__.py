"""Servers of our own, for machines without a GPU, each a process that `engines` starts, watches and stops.

llamacpp   answers chats with a GGUF model
batched    answers all that waits at once, and says how likely a text is, with a model in safetensors
"""

import argparse
import os
import signal
import threading
import time
from pathlib import Path


def common_options(parser: argparse.ArgumentParser, model: str) -> None:
    """What `engines` tells each of them; `model` says what to give as one."""
    parser.add_argument("--model", type=Path, required=True, help=model)
    parser.add_argument("--alias", required=True, help="the model's name in requests")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)


def end_on_signal() -> None:
    """Exit code 0 on SIGTERM or Ctrl-C, at once: nothing is written that would need an orderly end."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))


def end_with_parent() -> None:
    """End when the process that started this one is gone.

    So that a run that was killed (kill -9, out of memory) leaves no server behind that holds the port and the memory.
    The parent is watched rather than asked of the kernel (PR_SET_PDEATHSIG), which would take the end of the thread
    that started us for the end of the parent.
    """
    threading.Thread(target=_watch, args=(os.getppid(),), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(0)
