import pytest

from runbook_lib.actions import settings
from runbook_lib.checks.dotenv import read
from runbook_lib.environment import Dotenv
from runbook_lib.errors import ConfigurationError

DSN = "https://0123456789abcdef@errors.internal/42"


@pytest.fixture
def own(env, tmp_path):
    """An environment with a .env file of its own, where nothing is as declared."""
    file = tmp_path / ".env"
    file.write_text("# settings\nDEBUG=true  # for now\n\nSENTRY_DSN=\n")
    values = {"DEBUG": "false", "SENTRY_DSN": DSN, "BROKEN": "two\nlines"}
    return env.model_copy(update={"dotenv": Dotenv(file=file, values=values)})


def test_the_declared_value_is_written(own):
    finding = settings.apply(own, "DEBUG").run()
    assert finding.ok
    assert finding.observed == "written"
    assert finding.tables[0].rows == (("DEBUG", "'true'", "'false'"),)
    assert own.dotenv.file.read_text() == "# settings\nDEBUG=false  # for now\n\nSENTRY_DSN=\n"


def test_nothing_is_written_twice(own):
    settings.apply(own, "DEBUG").run()
    before = own.dotenv.file.stat()
    assert settings.apply(own, "DEBUG").run().observed == "nothing to write"
    assert own.dotenv.file.stat() == before


def test_a_secret_value_is_not_shown(own):
    finding = settings.apply(own, "SENTRY_DSN").run()
    assert read(own.dotenv.file)["SENTRY_DSN"] == DSN
    assert DSN not in repr(finding)


def test_what_is_not_declared_stays(own):
    before = own.dotenv.file.read_text()
    assert settings.apply(own, "ENVIRONMENT").run().ok
    assert own.dotenv.file.read_text() == before


def test_a_value_that_cannot_be_held_changes_nothing(own):
    before = own.dotenv.file.read_text()
    with pytest.raises(ConfigurationError):
        settings.apply(own, "BROKEN").run()
    assert own.dotenv.file.read_text() == before
