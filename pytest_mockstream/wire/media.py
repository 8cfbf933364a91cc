"""Small pictures and sounds that are valid files, PNG, WAV and MP3: the same text gives the same bytes.

PNG: https://www.w3.org/TR/png-3/; WAV: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE/WAVE.html; MP3:
ISO/IEC 11172-3, of which silence needs the headers of frames only.
"""

from __future__ import annotations

import hashlib
import math
import struct
import zlib

__tracebackhide__ = True  # pytest's tracebacks end at the user's line

SAMPLE_RATE = 24_000  # samples a second, of 16 bits, as OpenAI's PCM has them
SECONDS_A_WORD = 0.3
_MOST_SECONDS = 60.0
_CELLS = 8
# MPEG-1 layer III, 128 kbit/s, 44.1 kHz, mono: 417 bytes and 1152 samples a frame. All side information is 0: silence.
_MP3_FRAME = bytes([0xFF, 0xFB, 0x90, 0xC4]) + bytes(413)
_MP3_FRAME_SECONDS = 1152 / 44_100


def _digest(text: str) -> bytes:
    return hashlib.blake2b(text.encode(errors="replace"), digest_size=16).digest()


def png(text: str, width: int, height: int) -> bytes:
    """Return a picture in two colours, a symmetrical pattern of squares that depends on the text."""
    digest = _digest(text)
    bits = int.from_bytes(digest[:4], "big")
    half = [[bits >> (row * _CELLS // 2 + column) & 1 for column in range(_CELLS // 2)] for row in range(_CELLS)]
    rows = []
    for row in range(_CELLS):
        cells = half[row] + half[row][::-1]
        line = "".join(str(cells[x * _CELLS // width]) for x in range(width))
        rows.append(b"\0" + int(line.ljust(-(-width // 8) * 8, "0"), 2).to_bytes(-(-width // 8), "big"))
    pixels = b"".join(rows[y * _CELLS // height] for y in range(height))
    head = struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)  # one bit a pixel, colours from a palette
    chunks = ((b"IHDR", head), (b"PLTE", digest[4:10]), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, *zip(*chunks, strict=True)))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def seconds_of(text: str) -> float:
    """Return how long it takes to say a text, in seconds."""
    return min(_MOST_SECONDS, max(1, len(text.split())) * SECONDS_A_WORD)


def pcm(text: str) -> bytes:
    """Return a soft tone as samples of 16 bits, little endian, mono; the text sets its length and pitch."""
    period = 60 + _digest(text)[0] % 100  # samples: 150 to 400 Hz
    wave = b"".join(struct.pack("<h", round(2000 * math.sin(2 * math.pi * x / period))) for x in range(period))
    count = round(seconds_of(text) * SAMPLE_RATE)
    return (wave * (count // period + 1))[: 2 * count]


def wav(text: str) -> bytes:
    """Return the tone of ``pcm`` as a WAV file."""
    samples = pcm(text)
    form = struct.pack("<HHIIHH", 1, 1, SAMPLE_RATE, 2 * SAMPLE_RATE, 2, 16)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", len(body)) + body


def mp3(text: str) -> bytes:
    """Return silence as MP3, as long as it takes to say the text."""
    return _MP3_FRAME * math.ceil(seconds_of(text) / _MP3_FRAME_SECONDS)
