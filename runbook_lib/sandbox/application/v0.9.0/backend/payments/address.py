"""Bitcoin addresses: Base58Check (P2PKH, P2SH) and segregated witness (BIP 173, BIP 350)."""

from payments.checksums import BECH32, BECH32M, base58check_decode, bech32_decode, words_to_bytes
from payments.errors import InvalidPayment

_NETWORK_BY_PREFIX = {"bc": "mainnet", "tb": "testnet", "bcrt": "regtest"}
_NETWORK_BY_VERSION = {0x00: "mainnet", 0x05: "mainnet", 0x6F: "testnet", 0xC4: "testnet"}
_HASH_BYTES = 20
_LONGEST_BASE58 = 35


def network(address: str) -> str:
    """The network that a valid `address` belongs to. Raises InvalidPayment."""
    if address.lower().startswith(tuple(f"{prefix}1" for prefix in _NETWORK_BY_PREFIX)):
        return _segwit(address)
    return _base58(address)


def _base58(address: str) -> str:
    if len(address) > _LONGEST_BASE58:
        raise InvalidPayment("the address is too long")
    payload = base58check_decode(address)
    found = _NETWORK_BY_VERSION.get(payload[0])
    if found is None or len(payload) != 1 + _HASH_BYTES:
        raise InvalidPayment("this is not a bitcoin address: its version or length is wrong")
    return found


def _segwit(address: str) -> str:
    prefix, words, checksum = bech32_decode(address)
    if prefix not in _NETWORK_BY_PREFIX or not words:
        raise InvalidPayment("this is not a bitcoin address: its prefix is wrong")
    version, program = words[0], words_to_bytes(words[1:])
    if version > 16 or not 2 <= len(program) <= 40:
        raise InvalidPayment("the witness version or length is wrong")
    if version == 0 and len(program) not in (20, 32):
        raise InvalidPayment("the witness length is wrong for version 0")
    if checksum != (BECH32 if version == 0 else BECH32M):
        raise InvalidPayment("the checksum is of the wrong kind for this witness version")
    return _NETWORK_BY_PREFIX[prefix]
