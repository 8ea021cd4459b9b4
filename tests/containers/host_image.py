"""A base image without a registry: this machine's C library, a few of its tools and its Python, as a tar.

It stands for all that production builds on: besides Python it holds torch, as PyTorch's image does, and a command
`vllm`, as vLLM's image does, with the tests' scripted server behind it.
"""

import importlib.metadata
import io
import re
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
TOOLS = ("sh", "cat", "chmod", "env", "id", "ls", "mkdir", "rm", "sleep", "touch")
LIBRARIES = ("libdl.so.2", "libgcc_s.so.1", "libpthread.so.0", "librt.so.1", "libstdc++.so.6", "libutil.so.1")
"""What wheels expect of any Linux with glibc."""
SERVER = ("uvicorn", "starlette", "anyio", "click", "h11", "idna", "sniffio", "typing_extensions")
ENVIRONMENT = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
UNUSED = re.compile(
    r"/(__pycache__|test|tests|idlelib|tkinter|config-\d.*|include|lib2to3)(/|$)|\.a$|/site-packages(/|$)"
)


def write(stream: IO[bytes]) -> None:
    python = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    stdlib = Path(sysconfig.get_path("stdlib")).resolve()
    programs = [Path("/usr/bin") / name for name in TOOLS if (Path("/usr/bin") / name).exists()]
    with tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, dereference=True) as tar:
        for name, mode in (("tmp", 0o1777), ("root", 0o700), ("etc", 0o755), ("usr/local/bin", 0o755)):
            _folder(tar, name, mode)
        for name in ("bin", "sbin", "lib", "lib64"):
            if Path("/", name).is_symlink():
                _link(tar, name, f"usr/{name}")
        _text(tar, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        _text(tar, "etc/group", "root:x:0:\n")
        for path in programs:
            tar.add(path.resolve(), f"usr/bin/{path.name}")
        for path in _libraries([*programs, python, *stdlib.glob("lib-dynload/*.so")]):
            tar.add(path.resolve(), f"{_place(path)}/{path.name}")
        tar.add(python, f"usr/local/bin/{version}")
        for name in ("python", "python3"):
            _link(tar, f"usr/local/bin/{name}", version)
        _tree(tar, stdlib, f"usr/local/lib/{version}")
        packages = f"usr/local/lib/{version}/site-packages"
        for package in ("pip", "torch", *SERVER):
            for path in _parts(package):
                _tree(tar, Path(sysconfig.get_path("purelib")) / path, f"{packages}/{path}")
        tar.add(HERE / "vllm", "usr/local/bin/vllm", filter=_executable)
        tar.add(HERE.parent / "llm_server.py", f"{packages}/llm_server.py")


def _libraries(files: list[Path]) -> set[Path]:
    """The shared libraries that these files need, by the paths at which the loader looks for them."""
    told = subprocess.run(["ldd", *map(str, files)], capture_output=True, text=True, check=False).stdout
    found = {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", told, re.MULTILINE)}
    cache = subprocess.run(["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=True).stdout
    for name in LIBRARIES:
        found.add(Path(re.findall(rf"{re.escape(name)} .*=> (\S+)", cache)[0]))
    return found


def _place(library: Path) -> str:
    """A folder where the loader looks by itself; a Python of one's own may keep its library below a home."""
    folder = library.parent.resolve()
    return str(folder if folder.is_relative_to("/usr") else f"/usr/lib/{sysconfig.get_config_var('MULTIARCH')}").lstrip(
        "/"
    )


def _parts(package: str) -> Iterator[str]:
    """Top-level files and folders of an installed package."""
    files = importlib.metadata.files(package) or []
    yield from dict.fromkeys(file.parts[0] for file in files if file.parts[0] not in ("..", "__pycache__"))


def _tree(tar: tarfile.TarFile, source: Path, name: str) -> None:
    tar.add(source, name, filter=lambda entry: None if UNUSED.search(entry.name.removeprefix(name)) else entry)


def _executable(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mode = 0o755
    return entry


def _folder(tar: tarfile.TarFile, name: str, mode: int) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.mode = tarfile.DIRTYPE, mode
    tar.addfile(entry)


def _link(tar: tarfile.TarFile, name: str, target: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    tar.addfile(entry)


def _text(tar: tarfile.TarFile, name: str, text: str) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(text)
    tar.addfile(entry, io.BytesIO(text.encode()))
