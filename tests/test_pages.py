from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from runbook_lib import pages
from runbook_lib.pages import Page, Section
from runbook_lib.step import Table

HOSTILE = "</td><script>alert(1)</script> [x](javascript:alert(1)) `a` | b\n# c {{ 7 * 7 }} &amp; https://x/"


class Read(HTMLParser):
    """What a browser would see: tags, addresses, and the text of each cell."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.cells = [], [], []
        self._in_cell = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        if tag in ("td", "th"):
            self.cells.append("")
            self._in_cell = True

    def handle_endtag(self, tag):
        self._in_cell = self._in_cell and tag not in ("td", "th")

    def handle_data(self, data):
        if self._in_cell:
            self.cells[-1] += data


def page(*cells, text="Text.", commands=()):
    table = Table(tuple(f"column {number}" for number, _ in enumerate(cells)), (cells,))
    return Page("page", "Title", (text,), (Section("Section", (text,), table, commands),))


def rendered(markdown):
    """Markdown as GitHub would show it: with tables, without raw HTML."""
    return Read(MarkdownIt("commonmark").enable("table").render(markdown))


@settings(deadline=None)  # the templates are compiled at the first
@given(st.lists(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=4))
def test_a_cell_is_shown_as_it_is(cells):
    for read in (Read(pages.html(page(*cells))), rendered(pages.markdown(page(*cells)))):
        assert read.cells[len(cells) :] == cells


def test_nothing_of_a_target_is_markup():
    read = Read(pages.html(page(HOSTILE, text=HOSTILE, commands=(HOSTILE,))))
    assert "script" not in read.tags
    assert read.links == []
    read = rendered(pages.markdown(page(HOSTILE, text=HOSTILE, commands=("```", HOSTILE))))
    assert {"script", "h3", "a"} & set(read.tags) == set()
    assert read.tags.count("h1") == 1


def test_an_address_of_the_web_is_a_link():
    address = "https://a.example/b?c=d&e=f"
    assert Read(pages.html(page(address))).links == [address]
    assert rendered(pages.markdown(page(address))).links == [address]


@pytest.mark.parametrize(
    "value", ["javascript:alert(1)", "https://x/ onclick=y", 'https://x/"a', "data:text/html,a", 7]
)
def test_nothing_else_is_a_link(value):
    assert Read(pages.html(page(value))).links == []
    assert rendered(pages.markdown(page(value))).links == []


def test_the_page_needs_nothing_else():
    read = Read(pages.html(page("a", commands=("b",))))
    assert not {"script", "link", "img", "iframe"} & set(read.tags)
    assert "<pre>b\n</pre>" in pages.html(page("a", commands=("b",)))
    assert "```sh\nb\n```" in pages.markdown(page("a", commands=("b",)))
