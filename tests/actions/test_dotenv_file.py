import io
import stat

import pytest
from dotenv import dotenv_values
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.actions import dotenv_file
from runbook_lib.errors import ConfigurationError, Unanswerable

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc", "Zl", "Zp")), max_size=30).filter(
    lambda value: "\\" not in value and "'" not in value and value.isprintable()
)
OTHER_LINES = st.one_of(
    st.just(""),
    st.builds("# {}".format, st.from_regex(r"[ -~]{0,20}", fullmatch=True)),
    st.builds("OTHER_{}={}".format, NAMES, st.from_regex(r"[a-z0-9/:@.]{0,20}", fullmatch=True)),
    st.builds('export OTHER_{}="{}"  # why'.format, NAMES, st.from_regex(r"[a-z0-9 #$]{0,20}", fullmatch=True)),
)


def read(text):
    return dict(dotenv_values(stream=io.StringIO(text), interpolate=False))


@given(st.lists(OTHER_LINES), st.lists(OTHER_LINES), NAMES, VALUES, VALUES, st.sampled_from(["\n", "\r\n"]))
def test_only_the_named_line_changes(before, after, name, old, new, ending):
    head = "".join(line + ending for line in before)
    tail = "".join(line + ending for line in after)
    text = f"{head}{name}='{old}' # note{ending}{tail}"
    result = dotenv_file.edited(text, {name: new})
    assert result.startswith(head)
    assert result.endswith(tail)
    assert result[len(head) : len(result) - len(tail)].endswith(f" # note{ending}")
    assert read(result) == read(text) | {name: new}


@given(st.lists(OTHER_LINES), NAMES, VALUES)
def test_a_new_name_is_appended(lines, name, value):
    text = "\n".join(lines)
    result = dotenv_file.edited(text, {name: value})
    assert result.startswith(text)
    assert read(result) == read(text) | {name: value}


@given(st.lists(OTHER_LINES), NAMES, VALUES)
def test_the_same_edit_twice_changes_nothing_more(lines, name, value):
    once = dotenv_file.edited("\n".join(lines), {name: value})
    assert dotenv_file.edited(once, {name: value}) == once


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("A=1\n\n\n  A = 'x y'  # two\nB=2\n", "A=new\n\n\n  A = new  # two\nB=2\n"),
        ("export A=1", "export A=new"),
        ("A\n", "A=new\n"),
        ('A="1\n2"\nB=2\n', "A=new\nB=2\n"),
        ("A='1'#note\n", "A=new #note\n"),
        ("#A=1\n", "#A=1\nA=new\n"),
        ("\ufeffA=1\n", "\ufeffA=new\n"),
        ("AA=1\n=\n", "AA=1\n=\nA=new\n"),
    ],
)
def test_lines_of_every_kind(text, result):
    assert dotenv_file.edited(text, {"A": "new"}) == result


@pytest.mark.parametrize("value", ["two\nlines", "nul\0", "tab\t"])
def test_a_value_that_no_line_holds(value):
    with pytest.raises(ConfigurationError, match="control character"):
        dotenv_file.edited("A=1\n", {"A": value})


def test_the_file_is_replaced_whole_and_private(tmp_path):
    file = tmp_path / ".env"
    file.write_bytes(b"# \xff kept as it is\r\nA=1\r\n")
    file.chmod(0o644)
    dotenv_file.write(file, {"A": "2", "B": "3"})
    assert file.read_bytes() == b"# \xff kept as it is\r\nA=2\r\nB=3\r\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "shared").mkdir()
    target, link = tmp_path / "shared" / ".env", tmp_path / ".env"
    target.write_text("A=1\n")
    link.symlink_to(target)
    dotenv_file.write(link, {"A": "2"})
    assert link.is_symlink()
    assert target.read_text() == "A=2\n"


def test_an_edit_that_is_discarded_leaves_nothing(tmp_path):
    file = tmp_path / ".env"
    file.write_text("A=1\n")
    dotenv_file.prepare(file, {"A": "2"}).discard()
    assert file.read_text() == "A=1\n"
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


def test_an_interrupted_edit_is_a_persons_to_settle(tmp_path):
    file = tmp_path / ".env"
    dotenv_file.prepare(file, {"A": "2"})
    with pytest.raises(Unanswerable, match="interrupted"):
        dotenv_file.write(file, {"A": "3"})
