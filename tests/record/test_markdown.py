from __future__ import annotations

import html
import re

from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.record import markdown

lines = st.text(st.characters(exclude_categories=("C", "Z"), include_characters=" "), min_size=1)
hostile = st.sampled_from(["<script>alert(1)</script>", "](http://x)", "```", "| --- |", "**", "&lt;", "<!--", "\\|"])


def shown(document: str) -> str:
    """What a reader of the page sees."""
    body = markdown.as_html(document).partition("<body>")[2]
    return html.unescape(re.sub(r"<[^>]*>", "", body))


@given(st.lists(lines | hostile, min_size=1, max_size=5).map(" ".join))
def test_a_cell_shows_what_it_was_given(value):
    value = " ".join(value.split())
    table = "\n".join(markdown.table(["value", "end"], [(value, "END")]))
    page = markdown.as_html(table)
    assert page.count("<td>") == 2
    cell = html.unescape(re.search(r"<td>(.*?)</td>", page, re.DOTALL)[1])
    assert re.sub(r"</?(?:em|strong)>", "", cell).replace("_", "") == value.replace("_", "")
    assert "<script" not in page


@given(st.lists(lines | hostile, min_size=1, max_size=8).map("\n".join))
def test_nothing_ends_a_block_from_within(content):
    page = markdown.as_html(f"{markdown.block(content)}\n# After\n")
    assert page.count("<pre>") == 1
    assert "<h1>After</h1>" in page
    assert "<script" not in page
    assert content in shown(f"{markdown.block(content)}")
