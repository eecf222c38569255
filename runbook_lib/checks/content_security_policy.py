"""Content security policies, parsed and judged as browsers enforce them (W3C, Content Security Policy Level 3).

The specification's algorithms are named where they are followed; see https://www.w3.org/TR/CSP3/. Counted is the header
that is enforced: a policy that only reports forbids nothing, and one in a ``<meta>`` can only add to the header.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

Policy = Mapping[str, tuple[str, ...]]
"""The source expressions of each directive, in lower-cased names."""

_WHITESPACE: Final = re.compile(r"[\t\n\f\r ]+")
_SCRIPT: Final = ("script-src", "default-src")
_STYLE: Final = ("style-src", "default-src")
_FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "script-src-elem": _SCRIPT,
    "script-src-attr": _SCRIPT,
    "style-src-elem": _STYLE,
    "style-src-attr": _STYLE,
    "worker-src": ("child-src", *_SCRIPT),
    "frame-src": ("child-src", "default-src"),
    "base-uri": (),
    "frame-ancestors": (),
}
"""Which directives govern when one is missing; ``default-src`` for all others ("Get fetch directive fallback list")."""

_JUDGED_BY_WILDCARD: Final = (
    *("connect-src", "font-src", "frame-src", "img-src", "manifest-src", "media-src", "style-src-elem", "worker-src"),
)
_NONCE: Final = re.compile(r"'nonce-[a-z0-9+/_-]+={0,2}'", re.IGNORECASE)
_HASH: Final = re.compile(r"'sha(256|384|512)-[a-z0-9+/_-]+={0,2}'", re.IGNORECASE)
_ANY_HOST: Final = re.compile(
    r"(https?:|wss?:)|([a-z][a-z0-9+.-]*://)?(\*|\*\.(?!(localhost|test|internal|local)\b)[a-z0-9-]+)(:([0-9]+|\*))?(/.*)?"
)
"""A scheme alone, any host, or any host of a top-level domain, with any port and path."""
_MADE_BY_ANYBODY: Final = frozenset({"data:", "blob:", "filesystem:"})


def parse_policies(values: Iterable[str]) -> list[Policy]:
    """Parse the values of Content-Security-Policy headers.

    Policies are divided by commas, directives by semicolons; of a directive given twice the first counts, and one that
    is not ASCII is ignored ("Parse a serialized CSP").
    """
    policies: list[Policy] = []
    for serialized in ",".join(values).split(","):
        policy: dict[str, tuple[str, ...]] = {}
        for directive in serialized.split(";"):
            name, *sources = [part for part in _WHITESPACE.split(directive) if part] or [""]
            if name and directive.isascii():
                policy.setdefault(name.lower(), tuple(sources))
        if policy:
            policies.append(policy)
    return policies


def governing(policy: Policy, name: str) -> tuple[str, tuple[str, ...]] | None:
    """The directive that decides in place of `name`, and its sources in lower case; None where none does."""
    for candidate in (name, *_FALLBACKS.get(name, ("default-src",))):
        if candidate in policy:
            return candidate, tuple(source.lower() for source in policy[candidate])
    return None


def weaknesses(policies: Iterable[Policy]) -> list[str]:
    """What the policies let through together: all are enforced, so that it is enough if one of them forbids it."""
    opened = [_opened(policy) for policy in policies]
    if not opened:
        return ["no Content-Security-Policy"]
    common = [aspect for aspect in opened[0] if all(aspect in one for one in opened)]
    return list(dict.fromkeys(one[aspect] for aspect in common for one in opened))


def framed_by_others(policies: Iterable[Policy]) -> str:
    """Why other sites may frame the page in spite of ``frame-ancestors``; empty where it forbids it, or is not set.

    Where it is set, browsers ignore X-Frame-Options ("Relation to X-Frame-Options").
    """
    given = [found[1] for policy in policies if (found := governing(policy, "frame-ancestors"))]
    wide = [sources for sources in given if any(map(_is_wildcard, sources))]
    return f"frame-ancestors {' '.join(wide[0])} overrides it" if given and len(wide) == len(given) else ""


def _opened(policy: Policy) -> dict[str, str]:
    """Each aspect that the policy leaves open, with why."""
    found = {
        "script elements": _inline(policy, "script-src-elem", "inline script elements"),
        "script attributes": _inline(policy, "script-src-attr", "inline event handlers"),
        "eval": _evaluates(policy),
        "script sources": _script_sources(policy),
        "plug-ins": _plugins(policy),
        "base address": _base_address(policy),
    }
    if "sandbox" in policy:
        # A sandboxed document has no plug-ins, and scripts only where it says so (HTML, sandboxing flags).
        scripts = "allow-scripts" in (flag.lower() for flag in policy["sandbox"])
        found = {aspect: reason for aspect, reason in found.items() if scripts and aspect != "plug-ins"}
    for name in _JUDGED_BY_WILDCARD:
        directive, sources = governing(policy, name) or ("", ())
        wide = _wildcards(name, sources)
        found[name] = f"{directive} has the wildcard {' '.join(wide)}" if wide else ""
    return {aspect: reason for aspect, reason in found.items() if reason}


def _inline(policy: Policy, name: str, what: str) -> str:
    """Why `what` may run ("Does a source list allow all inline behavior for type?"); empty where it may not.

    A nonce, a hash or 'strict-dynamic' makes browsers ignore 'unsafe-inline'.
    """
    governs = governing(policy, name)
    if governs is None:
        return f"neither {name}, script-src nor default-src: {what} may run"
    directive, sources = governs
    ignored = "'strict-dynamic'" in sources or any(_NONCE.fullmatch(one) or _HASH.fullmatch(one) for one in sources)
    return f"{directive} allows 'unsafe-inline': {what} may run" if "'unsafe-inline'" in sources and not ignored else ""


def _evaluates(policy: Policy) -> str:
    """Why text may be run as a script, by script-src or default-src ("EnsureCSPDoesNotBlockStringCompilation")."""
    governs = governing(policy, "script-src")
    if governs is None:
        return "neither script-src nor default-src: text may be evaluated"
    return f"{governs[0]} allows 'unsafe-eval': text may be evaluated" if "'unsafe-eval'" in governs[1] else ""


def _script_sources(policy: Policy) -> str:
    governs = governing(policy, "script-src-elem")
    if governs is None:
        return "neither script-src nor default-src: scripts may come from anywhere"
    directive, sources = governs
    wide = _wildcards("script-src-elem", sources)
    if wide:
        return f"{directive} has the wildcard {' '.join(wide)}: scripts may come from anywhere"
    made = [] if "'strict-dynamic'" in sources else [source for source in sources if source in _MADE_BY_ANYBODY]
    return f"{directive} allows {' '.join(made)}: any text can be made a script" if made else ""


def _plugins(policy: Policy) -> str:
    governs = governing(policy, "object-src")
    if governs is None:
        return "neither object-src nor default-src: plug-ins may come from anywhere"
    wide = [*_wildcards("object-src", governs[1]), *(one for one in governs[1] if one in _MADE_BY_ANYBODY)]
    return f"{governs[0]} allows {' '.join(wide)}: plug-ins may come from anywhere" if wide else ""


def _base_address(policy: Policy) -> str:
    """Why a ``<base>`` may lead a trusted script's address elsewhere ("Nonce Retargeting")."""
    governs = governing(policy, "base-uri")
    if governs is not None:
        wide = _wildcards("base-uri", governs[1])
        return f"base-uri has the wildcard {' '.join(wide)}" if wide else ""
    directive, sources = governing(policy, "script-src-elem") or ("", ())
    nonces = any(map(_NONCE.fullmatch, sources))
    trusted = nonces or ("'strict-dynamic'" in sources and any(map(_HASH.fullmatch, sources)))
    return f"no base-uri: a <base> may lead the scripts that {directive} trusts elsewhere" if trusted else ""


def _wildcards(name: str, sources: tuple[str, ...]) -> list[str]:
    """The sources that stand for any host; beside 'strict-dynamic' a script's sources are ignored."""
    if "'strict-dynamic'" in sources and name in ("script-src-elem", "worker-src"):
        return []
    return [source for source in sources if _is_wildcard(source)]


def _is_wildcard(source: str) -> bool:
    return _ANY_HOST.fullmatch(source.lower()) is not None
