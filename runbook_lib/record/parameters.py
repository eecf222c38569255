"""Parameters are kept in the record, so that none may be a secret: neither a known one nor what looks like one."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from runbook_lib.errors import ConfigurationError
from runbook_lib.record.masking import Mask

RANDOM_LENGTH = 16
"""Characters from which a word without order in it is taken for a token."""
RANDOM_ENTROPY = 3.5
"""Bits for each character, after Shannon: 16 random letters and digits have 3.8 on average, words and dates less."""

_RUN_ID = re.compile(r"\b[0-9]{8}T[0-9]{6}Z\b-?")
_UNUSUAL = re.compile(r"://|-----|[A-Za-z0-9+/=_-]{16}|[0-9]{8}:")


def refuse_secrets(values: Mapping[str, Any], mask: Mask) -> None:
    """Refuse parameters that are or look like secrets.

    Raises
    ------
    ConfigurationError
        Names the parameter, never its value.
    """
    for name, value in values.items():
        if isinstance(value, str) and (why := suspicion(value, mask)):
            raise ConfigurationError(
                f"The value given for '{_shown(name, mask)}' {why}; parameters are kept in the record. "
                "Secrets are given by reference in the environment's TOML."
            )
        if suspicion(name, mask):
            raise ConfigurationError("The name of a parameter looks like a secret; parameters are kept in the record.")


def suspicion(text: str, mask: Mask) -> str:
    """Why `text` must not be kept, as the end of a sentence; empty where nothing speaks against it."""
    if names := mask.found(text):
        return f"is a secret ({', '.join(names)})"
    for kind in _detected(text):
        return f"looks like a secret ({kind})"
    if any(_is_random(word) for word in re.split(r"[^A-Za-z0-9+=]+", text)):
        return "looks like a secret (a word as random as a token)"
    return ""


def _shown(name: str, mask: Mask) -> str:
    return "?" if suspicion(name, mask) else name


def _detected(text: str) -> Iterable[str]:
    """What detect-secrets makes of the shape alone; commit hashes and addresses are no secrets to us."""
    if not _UNUSUAL.search(_RUN_ID.sub("", text)):
        # Every notebook's parameters pass here, and its detectors take longer to load than all of this library.
        return
    for detector in _detectors():
        if any(True for line in text.splitlines() for _ in detector.analyze_string(line)):
            yield detector.secret_type.lower()


@cache
def _detectors() -> tuple[Any, ...]:
    from detect_secrets.plugins import (
        artifactory,
        aws,
        azure_storage_key,
        basic_auth,
        discord,
        github_token,
        gitlab_token,
        jwt,
        mailchimp,
        npm,
        openai,
        private_key,
        pypi_token,
        sendgrid,
        slack,
        square_oauth,
        stripe,
        telegram_token,
        twilio,
    )

    return (
        artifactory.ArtifactoryDetector(),
        aws.AWSKeyDetector(),
        azure_storage_key.AzureStorageKeyDetector(),
        basic_auth.BasicAuthDetector(),
        discord.DiscordBotTokenDetector(),
        github_token.GitHubTokenDetector(),
        gitlab_token.GitLabTokenDetector(),
        jwt.JwtTokenDetector(),
        mailchimp.MailchimpDetector(),
        npm.NpmDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        pypi_token.PypiTokenDetector(),
        sendgrid.SendGridDetector(),
        slack.SlackDetector(),
        square_oauth.SquareOAuthDetector(),
        stripe.StripeDetector(),
        telegram_token.TelegramBotTokenDetector(),
        twilio.TwilioKeyDetector(),
    )


def _is_random(word: str) -> bool:
    """Whether a word mixes letters and digits without order, and is no digest such as a commit's."""
    if len(word) < RANDOM_LENGTH or re.fullmatch(r"[0-9a-f]+", word):
        return False
    changes = len(re.findall(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])", word))
    return changes >= 4 and _entropy(word) >= RANDOM_ENTROPY


def _entropy(word: str) -> float:
    """Shannon's entropy, in bits for each character."""
    shares = [count / len(word) for count in Counter(word).values()]
    return -sum(share * math.log2(share) for share in shares)
