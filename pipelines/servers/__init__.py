"""Servers of our own, for machines without a GPU, each a process that `engines` starts, watches and stops.

llamacpp   answers chats with a GGUF model
batched    answers all that waits at once, and says how likely a text is, with a model in safetensors
"""

import argparse
import os
import signal
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
