from __future__ import annotations

import sqlite3

from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.record import attestation, manifest
from runbook_lib.record.masking import Mask
from runbook_lib.record.seal import ENVELOPE
from runbook_lib.review import lookup

from ..test_runner import NEXT, run
from .test_index import one, rewrite

__all__ = ["one"]


@given(st.text(alphabet=st.characters() | st.sampled_from('"*^:()-+\0 ')))
def test_every_text_is_a_query_that_fts_takes(text):
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE said USING fts5(text)")
    query = lookup.quoted(text)
    if query:
        database.execute("SELECT * FROM said WHERE said MATCH ?", (query,)).fetchall()
    database.close()


def test_of_a_long_text_the_words_around_those_looked_for_are_shown(one):
    words = [f"word{number}" for number in range(200)]
    rewrite(one, lambda overview: overview["items"]["3.2"].update(said=" ".join(words)))
    (hit,) = lookup.search("word150")
    assert "word150" in hit.snippet
    assert hit.snippet.startswith("…") and hit.snippet.endswith("…")
    assert len(hit.snippet.split()) == 24


def test_a_closed_record_that_no_longer_says_what_it_said_is_told_of(one):
    (one.folder / ENVELOPE).touch()
    assert lookup.CHANGED not in {hit.snippet for hit in lookup.search("Is sound")}
    path = one.folder / manifest.NAME
    path.write_text(path.read_text().replace("ound", "illy"))
    assert {hit.snippet for hit in lookup.search("Is sound")} == {lookup.CHANGED}
    path.unlink()
    one.events.path.unlink()
    assert {hit.snippet for hit in lookup.search("Is sound")} == {lookup.CHANGED}


def test_words_at_the_beginning_of_a_line_within_what_was_seen_are_found(mini):
    seen = '{"log": ["started\\nQUOKKA timeout"], "deep": {"answer": "on\\tmainnet"}, "rows": 4711}'
    cell = f'phase.item("3.2", check("Sees")(lambda: Finding(True, {seen}, ""))())'
    run(mini, {3: [NEXT[3][0], cell, "phase.gate()"]})
    for word in ("quokka", "mainnet", "answer", "4711"):
        assert [hit.item for hit in lookup.search(word)] == ["3.2"], word


def test_who_vouched_is_found(mini):
    _, opened = run(mini, {3: [NEXT[3][0], 'phase.item("3.2", attest("Is trained"))', "phase.gate()"]})
    attestation.attest(opened, "3.2", Mask(), person="Ada Lovelace", note="all twelve")
    assert {hit.item for hit in lookup.search("Lovelace twelve")} == {"3.2"}
