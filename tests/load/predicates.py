"""Importable by workers, as a predicate must be."""


def nothing_is_down(body: bytes) -> str:
    return "it is down" if b"down" in body else ""


def is_http_2(body: bytes) -> str:
    return "" if body == b"HTTP/2.0" else body.decode()
