"""What every part of an environment is made of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
)


class Model(BaseModel):
    """A part of an environment: frozen, and no key that is not declared."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _absolute(path: Path, info: ValidationInfo) -> Path:
    """A path in the TOML is relative to the folder that holds the TOML."""
    folder = (info.context or {}).get("folder", Path.cwd())
    return Path(os.path.normpath(folder / path.expanduser()))


RelativePath = Annotated[Path, AfterValidator(_absolute)]


def _of_the_web(address: str) -> str:
    if not re.match(r"https?://[^\s/?#]", address):
        raise ValueError("an address begins with http:// or https://, and names a host")
    return address


WebAddress = Annotated[str, AfterValidator(_of_the_web)]
Port = Annotated[int, Field(ge=1, le=65535)]

Argv = tuple[str, ...]
