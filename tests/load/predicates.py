"""Importable by workers, as a predicate must be."""


def nothing_is_down(body: bytes) -> str:
    return "it is down" if b"down" in body else ""
