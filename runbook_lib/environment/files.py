"""The TOML files: found, read, explained where they are wrong, and written anew."""

from __future__ import annotations

import difflib
import re
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import (
    BaseModel,
    ValidationError,
)

from runbook_lib.environment.secret import Secret, is_secret_name
from runbook_lib.environment.whole import Environment
from runbook_lib.errors import ConfigurationError
from runbook_lib.home import Home, home

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def names(where: Home | None = None) -> tuple[str, ...]:
    """The environments that exist."""
    folders = (where or home()).environments
    return tuple(sorted({path.stem for folder in folders for path in folder.glob("*.toml")}))


def find(name: str, where: Home | None = None) -> Path:
    """The TOML file of environment `name`. Raises ConfigurationError, which lists those that exist."""
    place = where or home()
    for folder in place.environments:
        path = folder / f"{name}.toml"
        if name and "/" not in name and path.is_file():
            return path
    existing = names(place)
    near = difflib.get_close_matches(name, existing, n=1)
    guess = f" Did you mean {near[0]}?" if near else ""
    listed = ", ".join(existing) or "none"
    raise ConfigurationError(
        f"There is no environment '{name}'.{guess} Those that exist: {listed}. "
        "'runbook init NAME' writes a new one; 'runbook sandbox up' makes the sandbox's."
    )


def load(name: str, where: Home | None = None) -> Environment:
    """Read environment `name`. Raises ConfigurationError naming file, key, what was found and what is allowed."""
    return read(find(name, where))


def read(path: Path) -> Environment:
    """Read one TOML file; see :func:`load`."""
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not valid TOML: {error}") from error
    try:
        environment = Environment.model_validate(values, context={"folder": path.parent})
    except ValidationError as error:
        raise ConfigurationError(_explain(path, error)) from error
    if environment.name != path.stem:
        raise ConfigurationError(
            f"{path}: name is '{environment.name}', the file's name says '{path.stem}'; make the two equal."
        )
    return environment


def _explain(path: Path, error: ValidationError) -> str:
    """Pydantic's errors, one line for each, for a person."""
    lines = []
    for detail in error.errors(include_url=False):
        key = ".".join(str(part) for part in detail["loc"]) or "(whole file)"
        if detail["type"] == "missing":
            lines.append(f"  {key}: is missing")
        elif detail["type"] == "extra_forbidden":
            lines.append(f"  {key}: is not a setting; {_allowed_keys(detail['loc'])}")
        else:
            lines.append(f"  {key}: {_wrong(key.rpartition('.')[2], detail)}")
    return "\n".join([f"{path} has {error.error_count()} error(s):", *lines])


def _wrong(name: str, detail: ErrorDetails) -> str:
    """What is wrong with a value, which is told too, unless it is or may hold a secret."""
    value, said = detail["input"], detail["msg"]
    if detail.get("ctx", {}).get("class_name") == Secret.__name__:
        return 'is a secret, which is given by reference: { env = "NAME" } or { file = "PATH", key = "NAME" }'
    if is_secret_name(name) or not isinstance(value, str | int | float):
        return said
    return f"found {re.sub('//[^/@]*@', '//…@', repr(value))}; {said}"


def _allowed_keys(location: tuple[int | str, ...]) -> str:
    """Which keys may stand beside the one at `location`, and the nearest to it."""
    model = _model_at(Environment, location[:-1])
    if model is None:
        return "remove it"
    allowed = [field.alias or name for name, field in model.model_fields.items()]
    near = difflib.get_close_matches(str(location[-1]), allowed, n=1)
    guess = f"did you mean {near[0]}? " if near else ""
    return f"{guess}allowed here: {', '.join(allowed)}"


@cache
def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel] | None:
    """The model that describes the table at `location`."""
    from typing import get_args

    def models(annotation: Any) -> list[type[BaseModel]]:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            return [annotation]
        return [found for part in get_args(annotation) for found in models(part)]

    for part in location:
        if not isinstance(part, str):
            continue
        field = model.model_fields.get(part)
        if field is None:
            # A discriminated union puts the variant's tag into the location.
            variants = [m for f in model.model_fields.values() for m in models(f.annotation) if _tag(m) == part]
            if not variants and _tag(model) != part:
                return None
            model = variants[0] if variants else model
        else:
            candidates = models(field.annotation)
            if not candidates:
                return None
            model = candidates[0]
    return model


def _tag(model: type[BaseModel]) -> str | None:
    field = model.model_fields.get("kind")
    values: tuple[Any, ...] = getattr(field.annotation, "__args__", ()) if field else ()
    return values[0] if len(values) == 1 else None


def create(name: str, where: Home | None = None) -> Path:
    """Write a commented TOML for a new environment, from the kit's example of a production.

    Raises
    ------
    ConfigurationError
        The name is no plain word, or is taken: nothing is overwritten.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", name):
        raise ConfigurationError(f"'{name}' cannot name an environment: use small letters, digits, - and _.")
    place = where or home()
    if name in names(place):
        raise ConfigurationError(f"{find(name, place)} exists already and is never overwritten.")
    example = Path(__file__).resolve().parents[2] / "notebooks" / "environments" / "production.toml"
    path = place.environments[0] / f"{name}.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = example.read_text(encoding="utf-8").replace('name = "production"', f'name = "{name}"')
    with path.open("x", encoding="utf-8") as file:
        file.write(text.replace("--confirm production", f"--confirm {name}"))
    return path
