import json
import math
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runbook_lib.checks import dotenv
from runbook_lib.environment import Dotenv
from runbook_lib.errors import Unanswerable

SOUND = {
    "ENVIRONMENT": "production",
    "DEBUG": "false",
    "SECRET_KEY": secrets.token_urlsafe(32),
    "JWT_SECRET_KEY": secrets.token_urlsafe(32),
    "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
    "DATABASE_URL": "postgresql+psycopg://app:4kq81hhD0aLk2m9Z@db.internal:5432/app",
    "REDIS_URL": "redis://:p0Qe81hhD0aLk2m9Z@cache.internal:6379/0",
    "CORS_ORIGINS": "https://example.org,https://api.example.org:8443",
    "SENTRY_DSN": "https://0123456789abcdef@errors.internal/42",
    "PROMETHEUS_ENABLED": "true",
}


@pytest.fixture
def with_settings(env, tmp_path):
    """An environment whose .env file holds sound settings but for those that are given; None leaves one out."""

    def make(**changed):
        settings = {name: value for name, value in (SOUND | changed).items() if value is not None}
        file = tmp_path / ".env"
        file.write_text("".join(f"{name}='{value}'\n" for name, value in settings.items()))
        file.chmod(0o600)
        declared = Dotenv(file=file, values={"ENVIRONMENT": "production"})
        return env.model_copy(update={"dotenv": declared, "domains": ("example.org",)})

    return make


def test_the_declared_value(with_settings):
    assert dotenv.equals(with_settings(), "ENVIRONMENT").run().ok


@pytest.mark.parametrize("value", ["development", "Production", "", None])
def test_another_value_than_declared(with_settings, value):
    assert not dotenv.equals(with_settings(ENVIRONMENT=value), "ENVIRONMENT").run().ok


def test_no_declared_value_is_no_verdict(with_settings):
    with pytest.raises(Unanswerable, match="declares no value"):
        dotenv.equals(with_settings(), "DEBUG").run()


@pytest.mark.parametrize("value", ["false", "False", "0", "no", "OFF"])
def test_debug_is_off(with_settings, value):
    assert dotenv.is_off(with_settings(DEBUG=value), "DEBUG").run().ok


@pytest.mark.parametrize("value", ["true", "TRUE", "1", "yes", "on", "t", " True ", "maybe", "", None])
def test_debug_is_not_off(with_settings, value):
    assert not dotenv.is_off(with_settings(DEBUG=value), "DEBUG").run().ok


def test_metrics_are_on(with_settings):
    assert dotenv.is_on(with_settings(), "PROMETHEUS_ENABLED").run().ok


@pytest.mark.parametrize("value", ["false", "0", "", None])
def test_metrics_are_not_on(with_settings, value):
    assert not dotenv.is_on(with_settings(PROMETHEUS_ENABLED=value), "PROMETHEUS_ENABLED").run().ok


def test_strong_secrets(with_settings):
    env = with_settings()
    assert dotenv.strong_secrets(env).run().ok
    assert dotenv.strong_secret(env, "SECRET_KEY").run().ok


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "change-me-to-a-random-string-of-many-characters",
        "dev-secret-dev-secret-dev-secret-dev-secret",
        "<put 32 random bytes here, please, today>",
        "0123456789abcdef0123456789abcdef",
        "a" * 64,
        "wBQz3Xn0rJtL5vYc8mDkHg",
    ],
)
def test_a_weak_secret(with_settings, value):
    env = with_settings(SECRET_KEY=value)
    assert not dotenv.strong_secret(env, "SECRET_KEY").run().ok
    assert not dotenv.strong_secrets(env).run().ok


def test_the_finding_holds_no_secret(with_settings):
    env = with_settings(SECRET_KEY="change-me-it-is-weak")
    told = repr([dotenv.strong_secrets(env).run(), dotenv.database_url(env).run(), dotenv.redis_url(env).run()])
    assert not [name for name in ("SECRET_KEY", "JWT_SECRET_KEY", "DATABASE_URL", "REDIS_URL") if SOUND[name] in told]
    assert "change-me-it-is-weak" not in told


def test_secrets_differ(with_settings):
    assert dotenv.secrets_differ(with_settings()).run().ok


@pytest.mark.parametrize("value", [SOUND["SECRET_KEY"], None], ids=["equal", "missing"])
def test_equal_or_missing_secrets(with_settings, value):
    assert not dotenv.secrets_differ(with_settings(JWT_SECRET_KEY=value)).run().ok


def test_the_file_is_private(with_settings):
    assert dotenv.private(with_settings()).run().ok


def test_the_file_is_readable_by_others_or_missing(with_settings):
    env = with_settings()
    env.dotenv.file.chmod(0o640)
    assert not dotenv.private(env).run().ok
    env.dotenv.file.unlink()
    assert not dotenv.private(env).run().ok
    assert not dotenv.database_url(env).run().ok


def test_a_file_that_is_no_text_is_no_verdict(with_settings):
    env = with_settings()
    env.dotenv.file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(Unanswerable):
        dotenv.private(env).run() and dotenv.equals(env, "ENVIRONMENT").run()


def test_a_postgresql_url(with_settings):
    assert dotenv.database_url(with_settings()).run().ok


@pytest.mark.parametrize(
    "value",
    [
        None,
        "sqlite:///app.db",
        "mysql://app:4kq81hhD0aLk2m9Z@db/app",
        "postgresql://app@db/app",
        "postgresql://app:@db/app",
        "postgresql://app:postgres@db/app",
        "postgresql://app:app@db/app",
        "postgresql://app:change-me@db/app",
        "postgresql://app:4kq81hhD0aLk2m9Z@db",
        "postgresql://app:4kq81hhD0aLk2m9Z@db:port/app",
        "postgresql",
    ],
)
def test_no_usable_postgresql_url(with_settings, value):
    assert not dotenv.database_url(with_settings(DATABASE_URL=value)).run().ok


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey"])
def test_a_redis_url(with_settings, scheme):
    assert dotenv.redis_url(with_settings(REDIS_URL=f"{scheme}://:p0Qe81hhD0aLk2m9Z@cache:6379/0")).run().ok


@pytest.mark.parametrize(
    "value",
    [None, "redis://cache:6379/0", "redis://:redis@cache", "http://:p0Qe81hhD0aLk2m9Z@cache", "redis://:pw1pw2"],
)
def test_no_usable_redis_url(with_settings, value):
    assert not dotenv.redis_url(with_settings(REDIS_URL=value)).run().ok


@pytest.mark.parametrize("value", [SOUND["CORS_ORIGINS"], '["https://example.org", "https://www.example.org"]'])
def test_origins_of_production(with_settings, value):
    assert dotenv.cors_origins(with_settings(CORS_ORIGINS=value)).run().ok


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "*",
        '["*"]',
        "https://*.example.org",
        "http://example.org",
        "https://localhost:3000",
        "https://example.org,https://127.0.0.1",
        "https://example.org.evil.com",
        "https://evilexample.org",
        "https://example.org/path",
        "https://user@example.org",
        '["https://example.org", 3]',
        '["https://example.org"',
        "example.org",
    ],
)
def test_origins_beyond_production(with_settings, value):
    assert not dotenv.cors_origins(with_settings(CORS_ORIGINS=value)).run().ok


def test_a_dsn(with_settings):
    assert dotenv.sentry_dsn(with_settings()).run().ok


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "errors.internal",
        "https://errors.internal/42",
        "https://0123456789abcdef@/42",
        "https://0123456789abcdef@errors.internal/",
        "https://0123456789abcdef@errors.internal/project",
        "ftp://0123456789abcdef@errors.internal/42",
        "https://examplePublicKey@errors.internal/42",
    ],
)
def test_no_dsn(with_settings, value):
    assert not dotenv.sentry_dsn(with_settings(SENTRY_DSN=value)).run().ok


ITEMS = {
    "1.2.1": ({"ENVIRONMENT": "staging"}, lambda env: [dotenv.equals(env, "ENVIRONMENT")]),
    "1.2.2": ({"DEBUG": "true"}, lambda env: [dotenv.is_off(env, "DEBUG")]),
    "1.2.3": (
        {"SECRET_KEY": "change-me"},
        lambda env: [dotenv.strong_secret(env, "SECRET_KEY"), dotenv.secrets_differ(env)],
    ),
    "1.2.4": (
        {"JWT_SECRET_KEY": "change-me-too"},
        lambda env: [dotenv.strong_secret(env, "JWT_SECRET_KEY"), dotenv.secrets_differ(env)],
    ),
    "1.2.5": ({"DATABASE_URL": "sqlite:///app.db"}, lambda env: [dotenv.database_url(env)]),
    "1.2.6": ({"REDIS_URL": "redis://cache:6379/0"}, lambda env: [dotenv.redis_url(env)]),
    "1.2.7": ({"CORS_ORIGINS": "*"}, lambda env: [dotenv.cors_origins(env)]),
    "1.2.8": ({"SENTRY_DSN": "errors.internal"}, lambda env: [dotenv.sentry_dsn(env)]),
    "1.2.9": ({"PROMETHEUS_ENABLED": "false"}, lambda env: [dotenv.is_on(env, "PROMETHEUS_ENABLED")]),
}
"""By item: a fault, and the checks that its notebook cell makes."""


def failing_items(env):
    return [item for item, (_, checks) in ITEMS.items() if not all(step.run().ok for step in checks(env))]


def test_sound_settings_pass_every_item(with_settings):
    assert failing_items(with_settings()) == []


@pytest.mark.parametrize("item", ITEMS)
def test_one_wrong_setting_fails_exactly_its_item(with_settings, item):
    assert failing_items(with_settings(**ITEMS[item][0])) == [item]


ORIGIN = st.from_regex(r"https://[a-z0-9-]{1,20}\.[a-z]{2,6}(:[0-9]{1,5})?", fullmatch=True)


@given(st.lists(ORIGIN, min_size=1))
def test_both_spellings_of_a_list_are_read_alike(listed):
    assert dotenv.origins(", ".join(listed)) == dotenv.origins(json.dumps(listed)) == tuple(listed)


@given(st.text())
def test_no_text_breaks_a_parser(text):
    try:
        dotenv.origins(text)
    except ValueError:
        pass
    assert dotenv.url_faults(text, ("postgresql",)) or text.startswith("postgresql")
    assert isinstance(dotenv.dsn_faults(text), list)
    assert isinstance(dotenv.origin_fault(text, ("example.org",)), str)
    assert isinstance(dotenv.weakness(text, 32), str)


@given(st.text(min_size=1))
def test_entropy_is_between_nothing_and_all_that_the_length_allows(text):
    assert 0 <= dotenv.entropy(text) <= len(text) * math.log2(len(text)) + 1e-9
    assert dotenv.entropy(text[0] * len(text)) == 0


@given(st.sampled_from(["change-me", "Change_Me", "dev-secret", "YOUR SECRET"]), st.binary(min_size=16, max_size=16))
def test_a_placeholder_word_is_found_beside_anything(word, noise):
    assert dotenv.is_placeholder(noise.hex() + word + noise.hex())


def test_random_values_are_strong_in_every_usual_spelling():
    for make in (secrets.token_urlsafe, secrets.token_hex):
        assert not [value for value in (make(32) for _ in range(500)) if dotenv.weakness(value, 32)]
