"""What a browser finds on the front page: the controls, by their CSS selectors, and what they must come to."""

from __future__ import annotations

from pydantic import (
    Field,
)

from runbook_lib.environment.model import Model, RelativePath

MARKUP = "{markup}"
"""Stands in a hostile sample for markup that would execute if a page read it as such."""
QUOTED = "{quoted}"
"""The same, percent-encoded as a part of a URI."""


class Sample(Model):
    """Something that a user may enter, and what the page must then show; case and white space do not matter."""

    content: str = Field(min_length=1)
    shows: tuple[str, ...] = Field(min_length=1, description="texts that must all stand in the result")


_ADDRESS = "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa"  # of the first block's reward


class Browser(Model):
    """How phase 9 uses the front page as its users do."""

    executable: RelativePath | None = Field(
        default=None, description="a Chromium; else the one on the PATH, or Playwright's own"
    )
    path: str = Field(default="/", description="of the page, below web.url")
    input: str = "#content"
    submit: str = "#submit"
    result: str = "#result"
    image: str = Field(default="#image", description="the file input that takes a picture of a QR code")
    camera: str = Field(default="#camera", description="starts the camera")
    valid: Sample = Sample(
        content=f"bitcoin:{_ADDRESS}?amount=0.001&label=Runbook", shows=("Bitcoin address", _ADDRESS, "Runbook")
    )
    invalid: Sample = Sample(content="this is not a payment request", shows=("Not a valid payment request",))
    hostile: tuple[Sample, ...] = Field(
        default=(
            Sample(content=MARKUP, shows=("Not a valid payment request", MARKUP)),
            Sample(content=f"bitcoin:{_ADDRESS}?label={QUOTED}", shows=("Bitcoin address", MARKUP)),
        ),
        min_length=1,
        description=f"{MARKUP} and {QUOTED} take markup that would execute if the page read it as such",
    )
