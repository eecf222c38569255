"""Cards can be read in light and dark themes, and not by colour alone."""

from __future__ import annotations

import re

import pytest

from runbook_lib import card
from runbook_lib.record.result import ItemResult
from runbook_lib.step import Status

from .test_terminal import step


def html(status):
    return card.bundle(ItemResult("9.4", "Redis connectivity", (step(status),)))["text/html"]


def luminance(colour):
    """Relative luminance of ``#rrggbb``, by WCAG 2.2."""
    parts = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("status", list(Status))
def test_a_status_is_told_by_colour_icon_and_word_with_enough_contrast(status):
    badge = re.search(r"background:(#\w{6});color:#fff[^>]*>(.*?)<", html(status))
    assert badge is not None
    assert badge[2] == f"{card.ICONS[status]} {status}"
    assert 1.05 / (luminance(badge[1]) + 0.05) >= 4.5


@pytest.mark.parametrize("status", list(Status))
def test_no_text_has_a_colour_without_a_ground_of_its_own(status):
    for style in re.findall(r"style='([^']*)'", html(status)):
        if re.search(r"(?:^|;)color:", style):
            assert "background:" in style, "the theme decides on the rest"


@pytest.mark.parametrize("status", list(Status))
def test_what_to_do_next_is_said_of_what_is_not_sound(status):
    assert ("mend it" in html(status)) == (status not in (Status.PASSED, Status.SKIPPED))
