from __future__ import annotations

import pytest

from runbook_lib import environment, release
from runbook_lib.errors import ConfigurationError
from runbook_lib.record import archive
from runbook_lib.record.archive import Way


@pytest.fixture
def three(mini):
    """Runs of one environment, two of them of one day."""
    env, ids = environment.load("mini"), ("20261101T100000Z-v1", "20261101T110000Z-v1", "20261102T100000Z-v1")
    return [archive.create(env, release.find(env, "v1"), Way.UNSUPERVISED, run_id=id) for id in ids]


@pytest.mark.parametrize(
    "name",
    [
        "20261102T100000Z-v1",
        "mini/20261102T100000Z-v1",
        "outputs/mini/20261102T100000Z-v1/",
        "20261102",
        "mini/20261102T10",
    ],
)
def test_a_run_is_found_by_its_id_its_folder_or_the_only_beginning(three, name):
    assert archive.find(name).id == "20261102T100000Z-v1"


@pytest.mark.parametrize("name", ["2", "2026110", "20261103", "other/20261102", ""])
def test_what_names_no_run_is_told_the_newest(three, name):
    with pytest.raises(ConfigurationError, match=r"There is no run .* The newest that exist: .*20261102T100000Z-v1"):
        archive.find(name)


def test_a_beginning_of_several_is_none(three):
    with pytest.raises(ConfigurationError, match=r"Several runs are called '20261101': .*T10.*T11.* Name one of them"):
        archive.find("20261101")
