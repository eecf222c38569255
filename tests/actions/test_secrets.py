import socket
import stat
import subprocess

import psycopg
import pytest

from runbook_lib.actions import secrets
from runbook_lib.checks import database, dotenv
from runbook_lib.environment import Dotenv
from runbook_lib.errors import Unanswerable
from runbook_lib.sandbox import postgres
from runbook_lib.sandbox.layout import INNER, Stack

from ..waiting import until

PASSWORD = "a-Fg93kLmQ0zX7pT2vB5nR8sW1yD4hJ6"
KEY = "Zx81kq-LmPo93_hTyUv5NbRw2sQe7GdJ4cAfVi6XtYo"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A PostgreSQL of our own, since we change its role's password: its address without user and password."""
    stack = Stack(tmp_path_factory.mktemp("postgres"), "own")
    stack.folder.mkdir()
    postgres.create(stack, PASSWORD)
    with socket.create_server((INNER, 0)) as probe:
        port = probe.getsockname()[1]
    with subprocess.Popen(postgres.server(stack, port), stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            place = f"{INNER}:{port}/{postgres.ROLE}"
            until(lambda: accepts(f"postgresql://{postgres.ROLE}:{PASSWORD}@{place}"))
            yield place
        finally:
            process.terminate()
            log = process.communicate()[0].decode()
    assert "ALTER ROLE" not in log


def accepts(address):
    try:
        psycopg.connect(address).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def own(env, server, tmp_path):
    """An environment whose .env file has strong secrets, and the password in force; afterwards that is so again."""
    file = tmp_path / ".env"
    file.write_text(
        f"# ours\nSECRET_KEY={KEY}\nJWT_SECRET_KEY={KEY[::-1]}\n\nPOSTGRES_PASSWORD={PASSWORD}  # strong\n"
        f"DATABASE_URL=postgresql+psycopg://{postgres.ROLE}:{PASSWORD}@{server}\nOTHER=1\n"
    )
    yield env.model_copy(update={"dotenv": Dotenv(file=file)})
    with psycopg.connect(address_in(file), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {postgres.ROLE} PASSWORD '{PASSWORD}'")
        connection.execute(f"ALTER DATABASE {postgres.ROLE} CONNECTION LIMIT -1")


def address_in(file):
    return database.without_driver(dotenv.read(file)["DATABASE_URL"])


def put(env, name, value):
    text = env.dotenv.file.read_text().splitlines(keepends=True)
    env.dotenv.file.write_text("".join(f"{name}={value}\n" if line.startswith(f"{name}=") else line for line in text))


def test_strong_secrets_stay(own):
    before = own.dotenv.file.read_bytes()
    finding = secrets.generate(own).run()
    assert finding.observed["generated"] == []
    assert own.dotenv.file.read_bytes() == before
    assert stat.S_IMODE(own.dotenv.file.stat().st_mode) == 0o600


def test_placeholders_are_replaced_and_nothing_else(own):
    put(own, "SECRET_KEY", "change-me-please-change-me-please")
    put(own, "JWT_SECRET_KEY", "")
    finding = secrets.generate(own).run()
    assert finding.observed["generated"] == ["JWT_SECRET_KEY", "SECRET_KEY"]
    assert dotenv.strong_secrets(own).run().ok
    text = own.dotenv.file.read_text()
    assert text.startswith("# ours\nSECRET_KEY=")
    assert text.endswith(f"@{address_in(own.dotenv.file).partition('@')[2]}\nOTHER=1\n")
    assert f"POSTGRES_PASSWORD={PASSWORD}  # strong" in text


def test_a_file_that_is_not_there_is_made(own, tmp_path):
    few = Dotenv(file=tmp_path / "new.env", secrets={"SECRET_KEY": 32})
    env = own.model_copy(update={"dotenv": few})
    assert secrets.generate(env).run().ok
    assert dotenv.strong_secrets(env).run().ok
    assert dotenv.private(env).run().ok


def test_no_value_is_shown(own):
    put(own, "SECRET_KEY", "change-me")
    told = repr(secrets.generate(own).run())
    assert not [value for name, value in dotenv.read(own.dotenv.file).items() if name != "OTHER" and value in told]


def test_what_is_declared_a_secret_is_one_whatever_its_name(own):
    declared = own.model_copy(update={"dotenv": Dotenv(file=own.dotenv.file, secrets={"ODDLY_NAMED": 32})})
    finding = secrets.generate(declared).run()
    value = dotenv.read(own.dotenv.file)["ODDLY_NAMED"]
    assert value not in str(finding)
    assert declared.secrets()["ODDLY_NAMED"] == value


def test_a_new_password_reaches_the_url_and_the_role(own):
    env = own.model_copy(update={"dotenv": own.dotenv.model_copy(update={"rotate": True})})
    old = address_in(env.dotenv.file)
    assert secrets.generate(env).run().observed["kept"] == []
    settings = dotenv.read(env.dotenv.file)
    assert settings["POSTGRES_PASSWORD"] != PASSWORD
    assert settings["DATABASE_URL"].startswith("postgresql+psycopg://")
    assert settings["POSTGRES_PASSWORD"] in settings["DATABASE_URL"]
    assert accepts(address_in(env.dotenv.file))
    assert not accepts(old)
    assert [path.name for path in env.dotenv.file.parent.iterdir()] == [".env"]


def test_a_password_that_cannot_be_proved_is_taken_back(own):
    put(own, "POSTGRES_PASSWORD", "change-me")
    before = own.dotenv.file.read_bytes()
    with psycopg.connect(address_in(own.dotenv.file), autocommit=True) as connection:
        # The connection that changes the password takes the only place, so that none is left to prove it.
        connection.execute(f"ALTER DATABASE {postgres.ROLE} CONNECTION LIMIT 1")
    with pytest.raises(Unanswerable, match="old one is in force again"):
        secrets.generate(own).run()
    assert own.dotenv.file.read_bytes() == before
    assert [path.name for path in own.dotenv.file.parent.iterdir()] == [".env"]
    until(lambda: accepts(address_in(own.dotenv.file)))


@pytest.mark.parametrize("url", ["", "sqlite:///app.db", "postgresql://twiga_scan:wrong@{server}"])
def test_no_role_to_give_a_password_to(own, server, url):
    before = own.dotenv.file.read_text()
    put(own, "POSTGRES_PASSWORD", "")
    put(own, "DATABASE_URL", url.format(server=server))
    changed = own.dotenv.file.read_bytes()
    with pytest.raises(Unanswerable):
        secrets.generate(own).run()
    assert own.dotenv.file.read_bytes() == changed
    own.dotenv.file.write_text(before)
