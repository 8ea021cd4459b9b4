"""The recipes that come with the house, and how any recipe is read: YAML in, a typed `Recipe` out.

Every error is one line that names the file, the key and what is allowed there.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import yaml
from pydantic import ValidationError

from pipelines import benchmarks
from pipelines.errors import RecipeError
from pipelines.recipe import STAGES, Recipe

FOLDER = Path(__file__).parent


def load(name: str, overrides: Sequence[str] = (), **replaced: Any) -> Recipe:
    """Read a recipe by file or by the name of one in this folder, or the recipe itself, if `name` is its YAML.

    A recipe that `extends` another says only what it changes there. `overrides` are `dotted.key=value` with the value
    in YAML; `replaced` are top-level keys that the command line sets by options of its own. Raises RecipeError, one
    line, for whatever is wrong.
    """
    origin, tree = _read(name)
    if "extends" in tree:
        _, base = _read(str(tree.pop("extends")))
        tree = _extended(base, tree)
    for override in overrides:
        _override(tree, override)
    tree.update({key: value for key, value in replaced.items() if value is not None})
    _name_benchmarks(tree)
    try:
        recipe = Recipe.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(f"{origin}: {_explain(error)}") from None
    for stage in STAGES:
        recipe.settings(stage)  # names an instruction that is not there
    return recipe


def _read(name: str) -> tuple[Path | str, dict[str, Any]]:
    """What to call it in an error, and what it says."""
    path = None if "\n" in name else _find(name)
    origin = path or "the recipe"
    try:
        tree = yaml.safe_load(path.read_text("utf-8") if path else name)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{origin} is not YAML: {' '.join(str(error).split())}") from None
    if not _is_section(tree):
        raise RecipeError(f"{origin} holds no mapping: a recipe is a list of `key: value` lines")
    return origin, tree


def _extended(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Sections are changed key by key; all else, lists too, takes the place of what was there."""
    changed = dict(base)
    for key, value in changes.items():
        before = changed.get(key)
        changed[key] = _extended(before, value) if _is_section(before) and _is_section(value) else value
    return changed


def _name_benchmarks(tree: dict[str, Any]) -> None:
    """Put descriptions in the place of the names of benchmarks, so that the recipe as it is published holds them."""
    section = tree.get("evaluate")
    if _is_section(section) and _is_list(entries := section.get("benchmarks")):
        section["benchmarks"] = list(benchmarks.expand(entries))


def _find(name: str) -> Path:
    shipped = FOLDER / f"{name}.yaml"
    for path in (Path(name), shipped):
        if path.is_file():
            return path
    known = ", ".join(sorted(path.stem for path in FOLDER.glob("*.yaml")))
    raise RecipeError(f"there is no recipe {name!r}: give the path of a YAML file or one of: {known}")


def _override(tree: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    if not equals:
        raise RecipeError(f"--set {override}: write --set key=value, such as --set generate.samples=4")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {override}: the value is not YAML: {' '.join(str(error).split())}") from None
    *parents, last = key.split(".")
    node: dict[str, Any] | list[Any] = tree
    for part in parents:
        node = _child(node, part, override)
    if isinstance(node, list):
        node[_index(node, last, override)] = parsed
    else:
        node[last] = parsed


def _child(node: dict[str, Any] | list[Any], part: str, override: str) -> dict[str, Any] | list[Any]:
    child = node[_index(node, part, override)] if isinstance(node, list) else node.setdefault(part, {})
    if not (_is_section(child) or _is_list(child)):
        raise RecipeError(f"--set {override}: {part} is a value, not a section")
    return child


def _is_section(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def _is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _index(node: list[Any], part: str, override: str) -> int:
    if not part.isdigit() or int(part) >= len(node):
        raise RecipeError(f"--set {override}: {part} must be a number from 0 to {len(node) - 1}")
    return int(part)


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, in a line: the key, what is wrong with it, what is allowed."""
    first, *others = error.errors(include_url=False)
    tags = ("hub", "gym", "problems", "rubric", "likelihood")
    loc = [part for part in first["loc"] if part not in tags]
    key = ".".join(map(str, loc)) or "the recipe"
    text = first["msg"].removeprefix("Value error, ")
    if first["type"] == "extra_forbidden":
        allowed = _allowed(first["loc"][:-1])
        text = "unknown key" + (f"; allowed here: {', '.join(allowed)}" if allowed else "")
    elif first["type"] == "missing":
        text = "missing; it must be given"
    elif isinstance(first["input"], str | int | float | bool):
        text = f"{text} (it is {first['input']!r})"
    return f"{key}: {text}" + (f" (and {len(others)} more)" if others else "")


def _allowed(loc: Sequence[str | int]) -> list[str]:
    """The keys of the section at `loc`, found by walking the schema as validation did."""
    schema = Recipe.model_json_schema()
    node: Mapping[str, Any] = schema
    for part in loc:
        node = _resolve(schema, node)
        if "discriminator" in node:
            node = {"$ref": node["discriminator"]["mapping"][part]}
        elif isinstance(part, int):
            node = node["items"]
        else:
            node = node["properties"][part] if part in node.get("properties", {}) else node["additionalProperties"]
    return sorted(_resolve(schema, node).get("properties", {}))


def _resolve(schema: Mapping[str, Any], node: Mapping[str, Any]) -> Mapping[str, Any]:
    if "anyOf" in node:
        node = next(option for option in node["anyOf"] if option.get("type") != "null")
    if "$ref" in node:
        return schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    return node
