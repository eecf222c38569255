"""200 secrets, echoed by hostile targets through every channel and in every form: none is left anywhere."""

from __future__ import annotations

import base64
import html
import io
import json
import os
import pwd
import random
import shutil
import socket
import string
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import quote, quote_plus

import nbformat
import pytest

from runbook_lib import checklist
from runbook_lib.home import Home
from runbook_lib.record import archive
from runbook_lib.sandbox.postgres import programs

PROGRAMS = Path(sys.executable).parent
SEED = 20_261_125
FORMS = {
    "raw": str,
    "URL": lambda text: quote(text, safe=""),
    "form": quote_plus,
    "Base64": lambda text: base64.b64encode(text.encode()).decode(),
    "Base64 of a login": lambda text: base64.b64encode(f"user:{text}@host".encode()).decode(),
    "Base64 in lines": lambda text: base64.encodebytes(f"a login: {text}, and what follows".encode() * 2).decode(),
    "hex": lambda text: text.encode().hex(),
    "JSON": json.dumps,
    "HTML": html.escape,
    "JSON of HTML": lambda text: json.dumps(html.escape(text)),
    "repr": repr,
}


def generated() -> dict[str, str]:
    """Secrets by name: tokens, passwords with every sign, hexadecimal keys, passwords in URLs, keys of many lines."""
    source = random.Random(SEED)
    signs = string.ascii_letters + string.digits + "+/=&<>\"'@!#$%^*()[]{};:,.?~ éß\\"
    found = {f"API_TOKEN_{number}": "".join(source.choices(string.ascii_letters, k=24)) for number in range(60)}
    for number in range(80):
        found[f"SOME_PASSWORD_{number}"] = "a" + "".join(source.choices(signs, k=source.randint(12, 40))) + "Z"
    found |= {f"SIGNING_KEY_{number}": source.randbytes(32).hex() for number in range(30)}
    found |= {f"DATABASE_PASSWORD_{number}": f"p/{source.randbytes(9).hex()}@{number}" for number in range(20)}
    for number in range(10):
        lines = [base64.b64encode(source.randbytes(48)).decode() for _ in range(4)]
        found[f"PRIVATE_KEY_{number}"] = "\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----"])
    assert len(found) == 200
    return found


SECRETS = generated()


def needles() -> Iterator[str]:
    """What may be nowhere; of Base64 the part that does not depend on neighbours."""
    for secret in SECRETS.values():
        for part in secret.split("\n")[1:-1] or [secret]:
            for name in ("raw", "URL", "form", "hex", "JSON", "HTML", "repr"):
                yield FORMS[name](part).strip("\"'")
            yield base64.b64encode(part.encode()).decode()[:-4]
            yield base64.b64encode(f"user:{part}@host".encode()).decode()[12:-12]


NEEDLES = sorted({needle for needle in needles() if len(needle) > 5})


def echoed() -> str:
    """All secrets in all forms, a line for each."""
    return "".join(f"{name}: {form(secret)}\n" for secret in SECRETS.values() for name, form in FORMS.items())


def written(secrets: dict[str, str]) -> str:
    """As a .env file."""
    lines = []
    for name, value in secrets.items():
        if name.startswith("DATABASE_PASSWORD"):
            lines.append(f"{name.replace('PASSWORD', 'URL')}=postgresql://app:{quote(value, safe='')}@127.0.0.1:9/db")
        elif "\n" in value:
            lines.append(f'{name}="{value}"')
        else:
            escaped = value.replace("\\", "\\\\").replace("'", "\\'")
            lines.append(f"{name}='{escaped}'")
    return "\n".join(["DATABASE_URL=postgresql://app:mini-database-password@127.0.0.1:9/db", *lines, ""])


class Echo(BaseHTTPRequestHandler):
    """A target that sends back every secret it can think of."""

    def do_GET(self):
        body = echoed().encode()
        if self.path == "/title":
            body = f"<title>{html.escape(SECRETS['SOME_PASSWORD_0'])}</title>{body.decode()}".encode()
        self.send_response(500, SECRETS["API_TOKEN_0"])
        self.send_header("Content-Length", str(len(body)))
        for number in range(40):
            self.send_header(f"X-{number}", SECRETS[f"API_TOKEN_{number}"])
        self.send_header("Location", "/next?" + "&".join(quote_plus(SECRETS[f"SOME_PASSWORD_{n}"]) for n in range(40)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=partial(server.serve_forever, poll_interval=0.05))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A real PostgreSQL, trusting everybody on loopback."""
    # Not below pytest's own folder, which only its owner may enter: PostgreSQL does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="runbook-tests-"))
    folder.chmod(0o755)
    prefix: list[str] = []
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups", "--"]
        os.chown(folder, nobody.pw_uid, nobody.pw_gid)
    data = folder / "data"
    initdb = [*prefix, programs() / "initdb", "-D", data, "-U", "app", "-A", "trust", "-E", "UTF8", "--locale=C", "-N"]
    subprocess.run(initdb, check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-D", data, "-h", "127.0.0.1", "-p", str(port), "-c", "unix_socket_directories="]
    log = (folder / "log").open("wb")
    with log, subprocess.Popen([*prefix, programs() / "postgres", *options], stderr=log, stdout=log) as server:
        try:
            ready = [programs() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "app"]
            deadline = time.monotonic() + 60
            while subprocess.run(ready).returncode != 0:
                assert server.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield f"postgresql://app@127.0.0.1:{port}/postgres"
        finally:
            server.terminate()
            server.wait(60)
    shutil.rmtree(folder)


HOSTILE = """
import json, logging, os, subprocess, sys, time, warnings
from pathlib import Path

import httpx, psycopg
from IPython.display import HTML, SVG, Markdown, display

from runbook_lib import begin, command, programs
from runbook_lib.checks import suite
from runbook_lib.environment import Backend
from runbook_lib.release import Release
from runbook_lib.step import Evidence, Finding, Table, action, check, progress

FOLDER = Path(__file__).parent
GIVEN = json.loads((FOLDER / "given.json").read_text())
answer = httpx.get(GIVEN["address"] + "/title?" + httpx.get(GIVEN["address"]).headers["Location"])
text = answer.text

@check("Reads the body of {address}")
def body(address):
    progress(text[:5000])
    rows = tuple((line, 1.5, None) for line in text.splitlines())
    kept = (
        Evidence("body.txt", text), Evidence("body.bin", b"\\0\\xff" + text.encode()), Evidence("body.svg", text),
        Evidence(f"{answer.headers['X-1']}.log", text.encode("latin-1", "replace")),
    )
    return Finding(False, {"body": text, text: 1}, text.splitlines(), text, (Table(("line", text, "c"), rows, text),),
                   kept, {"fact": text})

@check("Reads headers and status line")
def headers():
    return Finding(True, [dict(answer.headers), answer.reason_phrase, str(answer.url)], str(answer.request.headers))

@check("Fails in the middle")
def fails(argument):
    raise ValueError(argument)

@check("Asks the database")
def sql():
    with psycopg.connect(GIVEN["database"]) as connection:
        connection.execute("SELECT %s::int", [text.replace("\\0", "")])

@check("Runs npm")
def npm():
    words, path = programs.node(["npm", "run", "echo"])
    completed = command.run(words, cwd=FOLDER, env=path, timeout=120)
    assert completed.ok and len(completed.output) > 100_000, completed.output[:500]
    return Finding(True, completed.output, "", evidence=(completed.evidence("npm.log"),))

def tests(env):
    declared = Backend(test=("-m", "pytest", "-vv", "-p", "pytest_cov"), minimum_passed=1)
    application = env.application.model_copy(update={"backend": declared})
    env = env.model_copy(update={"application": application})
    release = Release("v1", "0" * 40, FOLDER)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    return env, release, suite.ran(env, release)

def in_pieces(write, text, sizes=(7, 1, 30, 2, 500)):
    at = 0
    while at < len(text):
        for size in sizes:
            write(text[at:at + size])
            at += size

def to_stdout(piece):
    print(piece, end="", flush=True)

def to_descriptor(number):
    return lambda piece: os.write(number, piece)

class Shown:
    def __repr__(self):
        return text
    def _repr_html_(self):
        return "<pre>" + text + "</pre>"

    def _repr_json_(self):
        return {text: [text, {"a": text}]}
"""
CHANNELS = {
    "print": "print(text)",
    "pieces": "in_pieces(to_stdout, text[:60_000])",
    "stderr": "print(text, file=sys.stderr)",
    "descriptor": "in_pieces(to_descriptor(1), text.encode()[:60_000])",
    "other descriptor": "os.write(2, text.encode()[:60_000]); time.sleep(0.5)",
    "subprocess": "subprocess.run([sys.executable, '-c', 'import sys; print(open(sys.argv[1]).read())', "
    "FOLDER / 'echoed.txt']); time.sleep(0.5)",
    "shell": "!cat {FOLDER}/echoed.txt",
    "repr": "Shown()",
    "HTML": "display(HTML(text))",
    "SVG": "display(SVG(f\"<svg xmlns='http://www.w3.org/2000/svg'><desc>{answer.headers['X-1']}</desc></svg>\"))",
    "Markdown": "handle = display(Markdown('a'), display_id=True); handle.update(Markdown(text))",
    "raw": "display({'text/plain': text, 'application/json': {text: [text]}}, raw=True, metadata={'said': text})",
    "warning": "warnings.warn(text)",
    "log": "logging.getLogger('hostile').error(text)",
    "traceback": "try:\n    raise ValueError(text)\nexcept ValueError:\n    get_ipython().showtraceback()",
    "syntax error": "get_ipython().run_cell('x = (' + repr(answer.headers['X-1']))",
    "status line": "answer.reason_phrase",
}
ITEMS = [
    'phase.item("2.1", body(answer.headers["Location"]), headers(), fails(text), sql())',
    'phase.item("2.2", npm(), suite.backend(*tests(phase.env)))',
]


@pytest.fixture
def planted(mini, address, database) -> Home:
    """The kit with its .env, and what the notebook's cells need, which itself names no secret."""
    (mini.root / ".env").write_text(written(SECRETS))
    folder = mini.root / "hostile"
    (folder / "backend" / "tests").mkdir(parents=True)
    (folder / "hostile.py").write_text(HOSTILE)
    (folder / "echoed.txt").write_text(echoed())
    (folder / "given.json").write_text(json.dumps({"address": address, "database": database}))
    (folder / "package.json").write_text(json.dumps({"scripts": {"echo": "cat echoed.txt"}}))
    (folder / "backend" / ".venv").symlink_to(sys.prefix)
    read = f"text = open({str(folder / 'echoed.txt')!r}).read()"
    test = f"def test_it():\n    {read}\n    print(text)\n    assert text == ''\n"
    (folder / "backend" / "tests" / "test_it.py").write_text(test)
    notebook(mini, 2, [*(f"print('channel {name}')\n{cell}" for name, cell in CHANNELS.items()), *ITEMS])
    notebook(mini, 3, ["raise RuntimeError(text)"])
    return mini


def notebook(home: Home, number: int, cells: list[str], imports: str = "") -> None:
    imports = imports or f"import sys\nsys.path.insert(0, {str(home.root / 'hostile')!r})\nfrom hostile import *"
    setup = (
        f"{imports}\n"
        f"phase = begin({number}, environment=environment, release=release, run_id=run_id, dry_run=dry_run, "
        "confirm=confirm)"
    )
    parameters = 'environment = "mini"\nrelease = "v1"\nrun_id = ""\ndry_run = False\nconfirm = ""'
    made = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(parameters, metadata={"tags": ["parameters"]})]
        + [nbformat.v4.new_code_cell(source) for source in (setup, *cells)],
        metadata={
            "kernelspec": {"name": "python3", "language": "python", "display_name": "Python 3"},
            "runbook": {"phase": number},
        },
    )
    nbformat.write(made, home.notebooks / checklist.phase(number).notebook)


def texts(path: Path) -> Iterator[str]:
    """All that a file says: its bytes, its name, its JSON's strings, what is packed in it."""
    yield path.name
    content = path.read_bytes()
    yield content.decode("utf-8", "replace")
    if path.suffix in (".ipynb", ".json"):
        yield "\n".join(strings(json.loads(content)))
    if path.suffix == ".jsonl":
        yield "\n".join(text for line in content.splitlines() for text in strings(json.loads(line)))
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            yield from (archive.read(name).decode("utf-8", "replace") for name in archive.namelist())


def strings(value) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)
    elif isinstance(value, list):
        if all(isinstance(item, str) for item in value):
            yield "".join(value)
        for item in value:
            yield from strings(item)


def leaks(text: str) -> list[str]:
    return [needle for needle in NEEDLES if needle in text]


def nowhere(paths: list[Path], terminal: str) -> None:
    assert leaks(terminal) == []
    for path in paths:
        for text in texts(path):
            assert leaks(text) == [], path


def ended(*command: str | Path) -> subprocess.CompletedProcess[str]:
    # Where ipykernel sees that pytest runs, it does not capture what is written to the file descriptors.
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return subprocess.run(command, capture_output=True, text=True, timeout=300, env=variables)


def echoes(path: Path) -> None:
    """Every channel has really said what it was to say."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.source.startswith("print('channel")]
    assert len(cells) == len(CHANNELS)
    for cell in cells:
        assert "[masked " in json.dumps(cell.outputs), cell.source


def test_what_is_looked_for_can_be_found():
    assert len(leaks(echoed())) > 0.9 * len(NEEDLES)
    assert len(NEEDLES) > 1000


def test_a_supervised_run_leaks_nothing(planted):
    terminal = ended(PROGRAMS / "runbook", "run", "mini", "--release", "v1", "--only", "2")
    (opened,) = archive.runs()
    path = opened.notebook(checklist.phase(2))
    echoes(path)
    steps = [event.data for event in opened.events.read() if event.name == "step finished"]
    assert [step["name"] for step in steps] == [
        "hostile.body", "hostile.headers", "hostile.fails", "hostile.sql", "hostile.npm", "suite.backend"
    ]  # fmt: skip
    assert all("[masked" in json.dumps(step) for step in steps[:5])
    assert "invalid input syntax for type integer" in steps[3]["reason"]
    kept = [each for each in opened.folder.rglob("*") if each.is_file()]
    assert {"body.txt", "body.bin", "body.svg", "[masked API_TOKEN_1].log", "npm.log", "junit.xml", "tests.log"} <= {
        each.name for each in kept
    }
    assert "[masked" in terminal.stdout
    nowhere(kept, terminal.stdout + terminal.stderr)


def test_papermill_alone_leaks_nothing_nor_does_an_exception(planted):
    for number, engine in ((2, []), (3, []), (3, ["--engine", "runbook"])):
        source, output = planted.notebooks / checklist.phase(number).notebook, planted.root / f"out{number}.ipynb"
        terminal = ended(PROGRAMS / "papermill", source, output, "--no-progress-bar", "--log-output", *engine)
        if number == 2:
            echoes(output)
        else:
            assert terminal.returncode != 0
            assert "RuntimeError" in terminal.stderr
        kept = [path for run in archive.runs() for path in run.folder.rglob("*") if path.is_file()]
        nowhere([output, *kept], terminal.stdout + terminal.stderr)
    assert len(archive.runs()) == 3


@pytest.mark.parametrize(
    ("engine", "name", "value"),
    [
        ([], "confirm", SECRETS["SOME_PASSWORD_3"]),
        ([], "release", "AKIAIOSFODNN7EXAMPLE"),
        (["--engine", "runbook"], "run_id", SECRETS["SIGNING_KEY_3"]),
        (["--engine", "runbook"], "environment", "postgresql://app:hunter22@127.0.0.1/db"),
    ],
)
def test_a_parameter_that_is_a_secret_stops_before_anything_is_recorded(mini, engine, name, value):
    (mini.root / ".env").write_text(written(SECRETS))
    notebook(mini, 2, [], "from runbook_lib import begin")
    source, output = mini.notebooks / checklist.phase(2).notebook, mini.root / "out.ipynb"
    terminal = ended(PROGRAMS / "papermill", source, output, "--no-progress-bar", *engine, "-r", name, value)
    assert terminal.returncode != 0
    assert f"The value given for '{name}' " in terminal.stderr
    assert archive.runs() == ()
    assert value not in terminal.stdout + terminal.stderr
