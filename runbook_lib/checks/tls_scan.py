"""What a server offers over TLS, as sslyze saw it; nothing here judges."""

from __future__ import annotations

import ipaddress
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from runbook_lib.environment import Environment
from runbook_lib.errors import Unanswerable
from runbook_lib.step import progress

if TYPE_CHECKING:
    from sslyze import AllScanCommandsAttempts, CertificateDeploymentAnalysisResult, ServerScanResult

OLD: Final = ("SSL 2.0", "SSL 3.0", "TLS 1.0", "TLS 1.1")
"""Protocols that RFC 6176, RFC 7568 and RFC 8996 forbid."""
PROTOCOLS: Final = (*OLD, "TLS 1.2", "TLS 1.3")
CONNECTIONS: Final = 5
"""How many connections the scan holds at once, so that it is no burden to the service."""
TIMED_OUT: Final = "timed out"
CURVE_STRENGTHS: Final = ((512, 15360), (384, 7680), (256, 3072), (224, 2048), (160, 1024), (0, 512))
"""Least bits of an elliptic curve, and the bits of an RSA key of the same strength (NIST SP 800-57 part 1, table 2)."""
MONTGOMERY_STRENGTHS: Final = {"X25519": 3072, "X448": 7680}
REFUSED_AS_TOO_WEAK: Final = 512
"""Bits taken for a Diffie-Hellman group so small that even the scanner's OpenSSL 1.0 will not talk with it."""


@dataclass(frozen=True)
class Suite:
    """One cipher suite that the server accepts.

    `bits` are the cipher's; `exchange_bits` those of the ephemeral key, as bits of an RSA key of the same strength,
    None where the suite has no ephemeral key.
    """

    protocol: str
    name: str
    bits: int
    anonymous: bool = False
    exchange_bits: int | None = None


@dataclass(frozen=True)
class Certificate:
    """A certificate that the server shows, and what speaks against it; empty where nothing does.

    `key_bits` are bits of an RSA key of the same strength; `signature_hashes` those of the chain, its root aside.
    """

    subject: str
    key_bits: int
    signature_hashes: tuple[str, ...] = ("sha256",)
    not_after: datetime | None = None
    untrusted: str = ""
    misnamed: str = ""


@dataclass(frozen=True)
class Observation:
    """Everything that the grade is made from; `hsts_seconds` is None where no policy is sent."""

    suites: tuple[Suite, ...]
    certificates: tuple[Certificate, ...]
    hsts_seconds: int | None = None
    secure_renegotiation: bool = True
    insecure_client_renegotiation: bool = False
    compression: bool = False
    heartbleed: bool = False
    ccs_injection: bool = False
    robot: bool = False

    @property
    def protocols(self) -> tuple[str, ...]:
        """The protocols of its suites, oldest first."""
        return tuple(protocol for protocol in PROTOCOLS if any(suite.protocol == protocol for suite in self.suites))


@dataclass(frozen=True)
class Attempt:
    """One protocol, tried with every suite that the scanner knows for it: those accepted, and how it was refused."""

    protocol: str
    tried: int
    accepted: tuple[Suite, ...]
    refusals: tuple[str, ...]

    @property
    def undecided(self) -> bool:
        """Whether silence may only look like a refusal."""
        return not self.accepted and any(TIMED_OUT in refusal for refusal in self.refusals)


def observe(env: Environment, *, hsts_seconds: int | None = None) -> Observation:
    """Scan ``web.url`` for all that the grade is made from; a second or two.

    Raises
    ------
    Unanswerable
        Nobody answers TLS there, a part of the scan failed, or silence leaves open what is offered.
    """
    from sslyze import RobotScanResultEnum, ScanCommand

    commands = {
        *(_command(protocol) for protocol in PROTOCOLS),
        *(ScanCommand.CERTIFICATE_INFO, ScanCommand.TLS_COMPRESSION, ScanCommand.HEARTBLEED, ScanCommand.ROBOT),
        *(ScanCommand.OPENSSL_CCS_INJECTION, ScanCommand.SESSION_RENEGOTIATION),
    }
    seen = _scan(env, commands)
    attempts = [_attempt(protocol, seen) for protocol in PROTOCOLS]
    _require_decided(env, attempts)
    robot = _result(seen, ScanCommand.ROBOT).robot_result
    if robot is RobotScanResultEnum.UNKNOWN_INCONSISTENT_RESULTS:
        raise Unanswerable("the server's answers to the ROBOT probe contradict each other", remedy="run the item again")
    renegotiation = _result(seen, ScanCommand.SESSION_RENEGOTIATION)
    return Observation(
        suites=tuple(suite for attempt in attempts for suite in attempt.accepted),
        certificates=_certificates(env, _result(seen, ScanCommand.CERTIFICATE_INFO).certificate_deployments),
        hsts_seconds=hsts_seconds,
        secure_renegotiation=renegotiation.supports_secure_renegotiation,
        insecure_client_renegotiation=renegotiation.client_renegotiations_success_count > 0
        and not renegotiation.supports_secure_renegotiation,
        compression=_result(seen, ScanCommand.TLS_COMPRESSION).supports_compression,
        heartbleed=_result(seen, ScanCommand.HEARTBLEED).is_vulnerable_to_heartbleed,
        ccs_injection=_result(seen, ScanCommand.OPENSSL_CCS_INJECTION).is_vulnerable_to_ccs_injection,
        robot=robot in (RobotScanResultEnum.VULNERABLE_STRONG_ORACLE, RobotScanResultEnum.VULNERABLE_WEAK_ORACLE),
    )


def try_protocols(env: Environment) -> tuple[Attempt, ...]:
    """Try each of :data:`PROTOCOLS` at ``web.url``. Raises Unanswerable as :func:`observe` does."""
    seen = _scan(env, {_command(protocol) for protocol in PROTOCOLS})
    attempts = tuple(_attempt(protocol, seen) for protocol in PROTOCOLS)
    _require_decided(env, attempts)
    return attempts


def _require_decided(env: Environment, attempts: Iterable[Attempt]) -> None:
    undecided = [attempt.protocol for attempt in attempts if attempt.undecided]
    if undecided:
        raise Unanswerable(
            f"{env.web.url} neither took nor refused {', '.join(undecided)} within {_seconds(env)} s",
            remedy="look whether a firewall drops such connections, and run the item again; or raise limits.request",
        )


def _command(protocol: str) -> Any:
    from sslyze import ScanCommand

    return ScanCommand(f"{protocol.lower().replace(' ', '_').replace('.', '_')}_cipher_suites")


def _seconds(env: Environment) -> int:
    return max(1, round(env.limits.request))


def _scan(env: Environment, commands: set[Any]) -> AllScanCommandsAttempts:
    """Run sslyze's `commands` against the host of ``web.url``."""
    from sslyze import (
        CertificateInfoExtraArgument,
        ScanCommand,
        ScanCommandsExtraArguments,
        Scanner,
        ServerNetworkConfiguration,
        ServerNetworkLocation,
        ServerScanRequest,
    )
    from sslyze.errors import ServerHostnameCouldNotBeResolved

    host, port = _host(env)
    authority = env.web.certificate_authority
    if authority is not None and not authority.is_file():
        raise Unanswerable(f"{authority} was not found", remedy="correct web.certificate_authority in the environment")
    own = authority if ScanCommand.CERTIFICATE_INFO in commands else None
    progress(f"scanning {host}:{port}")
    with _loading_trust_stores():
        try:
            where = ServerNetworkLocation(host, port)
        except ServerHostnameCouldNotBeResolved as error:
            raise Unanswerable(f"the name {host} does not resolve", remedy="check web.url and the DNS") from error
        request = ServerScanRequest(
            where,
            ServerNetworkConfiguration(tls_server_name_indication=host, network_timeout=_seconds(env)),
            commands,
            ScanCommandsExtraArguments(certificate_info=CertificateInfoExtraArgument(own) if own else None),
        )
        scanner = Scanner(per_server_concurrent_connections_limit=CONNECTIONS)
        scanner.queue_scans([request])
        (found,) = scanner.get_results()
    return _completed(env, found)


@contextmanager
def _loading_trust_stores() -> Iterator[None]:
    """The stores that sslyze brings hold old authorities, of which cryptography warns; they are no fault of ours."""
    from cryptography.utils import CryptographyDeprecationWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CryptographyDeprecationWarning)
        yield


def _host(env: Environment) -> tuple[str, int]:
    parts = urlsplit(env.web.url)
    if parts.scheme != "https" or not parts.hostname:
        raise Unanswerable(f"web.url is {env.web.url}: no TLS to look at", remedy="let web.url begin with https://")
    return parts.hostname, parts.port or 443


def _completed(env: Environment, found: ServerScanResult) -> AllScanCommandsAttempts:
    if found.scan_result is None:
        trace = found.connectivity_error_trace
        why = str(trace).strip() if trace else "no reason given"
        raise Unanswerable(f"no TLS connection to {env.web.url}: {why}", remedy="bring the edge up first (S.3)")
    return found.scan_result


def _result(seen: AllScanCommandsAttempts, command: Any) -> Any:
    """What one command found. Raises Unanswerable, naming it, where it did not finish."""
    attempt = getattr(seen, command.value)
    if attempt.result is None:
        why = str(attempt.error_trace).strip() if attempt.error_trace else "no reason given"
        raise Unanswerable(
            f"the scan's part '{command.value}' failed ({getattr(attempt.error_reason, 'value', '')}): {why}",
            remedy="run the item again; a server that limits connections may need to let this machine scan it",
        )
    return attempt.result


def _attempt(protocol: str, seen: AllScanCommandsAttempts) -> Attempt:
    found = _result(seen, _command(protocol))
    accepted = tuple(
        Suite(
            protocol,
            entry.cipher_suite.name,
            entry.cipher_suite.key_size,
            entry.cipher_suite.is_anonymous,
            _exchange_bits(entry.cipher_suite.name, entry.ephemeral_key),
        )
        for entry in found.accepted_cipher_suites
    )
    refused = found.rejected_cipher_suites
    return Attempt(
        protocol, len(accepted) + len(refused), accepted, tuple(sorted({entry.error_message for entry in refused}))
    )


def _exchange_bits(suite: str, key: Any) -> int | None:
    if key is None:
        return REFUSED_AS_TOO_WEAK if "_DHE_" in suite or "_DH_anon" in suite else None
    if key.type_name != "ECDH":
        return int(key.size)
    return MONTGOMERY_STRENGTHS.get(key.curve_name) or curve_strength(key.size)


def curve_strength(bits: int) -> int:
    """Bits of an RSA key as strong as an elliptic curve of `bits`, by :data:`CURVE_STRENGTHS`."""
    return next(strength for least, strength in CURVE_STRENGTHS if bits >= least)


def _certificates(
    env: Environment, deployments: Iterable[CertificateDeploymentAnalysisResult]
) -> tuple[Certificate, ...]:
    """One for each certificate that the server has: it may have one for RSA and one for elliptic curves."""
    return tuple(_certificate(env, deployment) for deployment in deployments)


def _certificate(env: Environment, deployment: CertificateDeploymentAnalysisResult) -> Certificate:
    chain = deployment.received_certificate_chain
    leaf = chain[0]
    host, _ = _host(env)
    names = _names(leaf)
    return Certificate(
        subject=leaf.subject.rfc4514_string() or "no subject",
        key_bits=_key_bits(leaf.public_key()),
        # A root signs itself; nobody looks at how.
        signature_hashes=tuple(_hash(one) for one in chain if one is leaf or one.issuer != one.subject),
        not_after=leaf.not_valid_after_utc,
        untrusted=_out_of_date(leaf) or _distrust(env, deployment),
        misnamed="" if is_for(host, names) else f"it is for {', '.join(names) or 'no name'}, not for {host}",
    )


def _hash(certificate: Any) -> str:
    algorithm = certificate.signature_hash_algorithm
    # The newer signature schemes have their hash built in.
    return algorithm.name if algorithm else "built in"


def _distrust(env: Environment, deployment: CertificateDeploymentAnalysisResult) -> str:
    """Why OpenSSL finds no way from the certificate to a trusted authority; empty where it does.

    Trusted is the environment's own authority where it declares one, else Mozilla's, as SSL Labs has it. sslyze's own
    verdict is by cryptography, which refuses some certificates of private authorities that every browser takes.
    """
    from cryptography.hazmat.primitives.serialization import Encoding
    from nassl._nassl import X509
    from nassl.cert_chain_verifier import CertificateChainVerificationFailed, CertificateChainVerifier

    trusting = "Supplied CA file" if env.web.certificate_authority else "Mozilla"
    store = next(one.trust_store for one in deployment.path_validation_results if one.trust_store.name == trusting)
    chain = [X509(one.public_bytes(Encoding.PEM).decode()) for one in deployment.received_certificate_chain]
    try:
        CertificateChainVerifier.from_file(store.path).verify(chain)
    except CertificateChainVerificationFailed as error:
        return f"{error.openssl_error_string} (by {store.path if env.web.certificate_authority else trusting})"
    return ""


def _names(leaf: Any) -> tuple[str, ...]:
    """The host names and addresses that a certificate is for; its common name counts no longer (RFC 9525)."""
    from cryptography import x509

    try:
        held = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return ()
    addresses = (str(address) for address in held.get_values_for_type(x509.IPAddress))
    return (*held.get_values_for_type(x509.DNSName), *addresses)


def is_for(host: str, names: Iterable[str]) -> bool:
    """Whether one of a certificate's `names` is that of `host`: a wildcard is its whole first label (RFC 9525, 6.3)."""
    label, _, domain = host.lower().partition(".")
    wildcard = f"*.{domain}" if label and "." in domain and not _is_address(host) else None
    return any(name.lower() in (host.lower(), wildcard) for name in names)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _out_of_date(leaf: Any) -> str:
    now = datetime.now(UTC)
    if leaf.not_valid_after_utc < now:
        return f"it expired at {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if leaf.not_valid_before_utc > now:
        return f"it is not valid before {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return ""


def _key_bits(key: Any) -> int:
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, rsa

    if isinstance(key, rsa.RSAPublicKey | dsa.DSAPublicKey):
        return key.key_size
    if isinstance(key, ec.EllipticCurvePublicKey):
        return curve_strength(key.curve.key_size)
    return MONTGOMERY_STRENGTHS["X448" if isinstance(key, ed448.Ed448PublicKey) else "X25519"]
