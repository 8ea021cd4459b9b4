"""What a browser sees: the repos, and each one's card, files, commits and first rows. Nothing here writes."""

from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

from anyio import CapacityLimiter, to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse, Response

from pipelines.localhub import cards
from pipelines.localhub.api.call import Call
from pipelines.localhub.pages import markdown, preview
from pipelines.localhub.pages.words import ago, bytes_of
from pipelines.localhub.store import blobs, history, repos, trees

HERE = Path(__file__).parent
COMMITS = 10
FILES = 500
# A page may wait for its tables; waiting in all threads, pages would make the clients wait too.
_SHOWING = CapacityLimiter(4)
# No script, no frame, nothing from elsewhere: a card is text by a stranger.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


@dataclass(frozen=True)
class FileRow:
    path: str
    size: int
    large: bool


def repo_list(call: Call) -> Response:
    with call.hub.db.read() as db:
        groups = {
            kind: repos.listing(db, kind, None, (), call.caller is not None, "modified_at")
            for kind in ("models", "datasets")
        }
    return _page("list.html", groups=groups)


async def repo_page(call: Call) -> Response:
    return await to_thread.run_sync(_repo_page, call, limiter=_SHOWING)


def _repo_page(call: Call) -> Response:
    with call.hub.db.read() as db:
        repo = call.repo(db)
        commit = history.resolve(db, repo, call.revision)
        paths = trees.files(db, commit.tree)
        known = blobs.describe(db, paths.values())
        log = list(islice(history.ancestors(db, repo, commit), COMMITS))
        readme = blobs.small_content(db, paths["README.md"]) if "README.md" in paths else None
    text = readme.decode(errors="replace") if readme else ""
    metadata = cards.metadata(text)
    files = [FileRow(path, known[oid].size, known[oid].sha256 is not None) for path, oid in paths.items()]
    tables = []
    if repo.kind == "datasets":
        large = {path: known[oid].sha256 for path, oid in paths.items()}
        tables = preview.tables(metadata, large, call.hub.large)
    base = f"/{repo.url_path}/resolve/{quote(call.revision, safe='')}/"
    return _page(
        "repo.html",
        repo=repo,
        commit=commit,
        revision=call.revision,
        base=base,
        tags=cards.tags(metadata, repo.kind == "datasets"),
        card=markdown.render(cards.split(text)[1], base),
        files=files[:FILES],
        hidden=len(files) - FILES,
        total=sum(row.size for row in files),
        log=log,
        tables=tables,
    )


def style(_: Call) -> Response:
    return Response((HERE / "style.css").read_text(), media_type="text/css", headers={"Cache-Control": "max-age=300"})


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"ago": ago, "bytes_of": bytes_of}
    return environment


def _page(template: str, **values: Any) -> Response:
    return HTMLResponse(_templates().get_template(template).render(values), headers=_HEADERS)
