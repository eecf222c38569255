from __future__ import annotations

import stat

import pytest

from runbook_lib.environment import CommandEdge, MarkerEdge, Secret
from runbook_lib.errors import Unanswerable, Waiting
from runbook_lib.platforms import edges

BYPASS = Secret(env="EDGE_BYPASS")


def with_edge(env, edge):
    return env.model_copy(update={"edge": edge})


def test_a_marker_closes_and_opens_however_often(env, tmp_path):
    marker = tmp_path / "closed"
    edge = edges.connect(with_edge(env, MarkerEdge(kind="marker", file=marker, bypass=BYPASS)))
    edge.close()
    edge.close()
    assert stat.S_IMODE(marker.stat().st_mode) == 0o644
    edge.open()
    edge.open()
    assert not marker.exists()


def test_a_marker_that_cannot_be_written_or_removed(env, tmp_path):
    (tmp_path / "file").touch()
    lost = edges.connect(with_edge(env, MarkerEdge(kind="marker", file=tmp_path / "file" / "closed", bypass=BYPASS)))
    for act in (lost.close, lost.open):
        with pytest.raises(Unanswerable, match="Not a directory"):
            act()


def test_commands_close_and_open(env, tmp_path):
    marker = tmp_path / "closed"
    commands = CommandEdge(kind="command", close=("touch", str(marker)), open=("rm", str(marker)), bypass=BYPASS)
    edge = edges.connect(with_edge(env, commands))
    edge.close()
    assert marker.exists()
    edge.open()
    assert not marker.exists()
    with pytest.raises(Unanswerable, match=r"edge\.open ended with 1"):
        edge.open()


def test_without_an_edge_a_person_is_awaited(env):
    with pytest.raises(Waiting, match=r"declares no \[edge\]"):
        edges.connect(with_edge(env, None))
