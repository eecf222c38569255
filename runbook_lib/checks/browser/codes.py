"""QR codes as a user has them: a picture to upload, and a film that a browser takes for its camera."""

from __future__ import annotations

from typing import Final

WIDTH: Final = 640
HEIGHT: Final = 480
_QUIET: Final = 4
"""Light modules around a code: the quiet zone of ISO/IEC 18004."""
_DARK, _LIGHT, _NO_COLOUR = 16, 235, 128


def picture(content: str) -> bytes:
    """A QR code that says `content`, as a PNG."""
    import io

    import segno

    drawn = io.BytesIO()
    segno.make_qr(content).save(drawn, kind="png", scale=8, border=_QUIET)
    return drawn.getvalue()


def film(content: str) -> bytes:
    """A QR code that says `content`, in the middle of a film of one frame, which Chromium shows again and again.

    As YUV4MPEG2, the one uncompressed format that ``--use-file-for-fake-video-capture`` takes: planes of brightness
    and, at half the width and height, of two colours.

    Raises
    ------
    ValueError
        The code is larger than the film: it has more modules than lines.
    """
    import segno

    modules = [list(row) for row in segno.make_qr(content).matrix_iter(border=_QUIET)]
    scale = HEIGHT // len(modules)
    if not scale:
        raise ValueError(f"a QR code of {len(modules)} modules does not fit {HEIGHT} lines")
    margin, above = (WIDTH - scale * len(modules)) // 2, (HEIGHT - scale * len(modules)) // 2
    blank = bytes([_LIGHT]) * WIDTH
    lines = [blank] * above
    for row in modules:
        line = bytes(_DARK if dark else _LIGHT for dark in row for _ in range(scale))
        lines += [bytes([_LIGHT]) * margin + line + bytes([_LIGHT]) * (WIDTH - margin - len(line))] * scale
    lines += [blank] * (HEIGHT - len(lines))
    head = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\nFRAME\n"
    return head.encode() + b"".join(lines) + bytes([_NO_COLOUR]) * (WIDTH * HEIGHT // 2)
