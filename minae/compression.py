"""Samples to bytes and back with a trained autoencoder.

A file holds the codes, quantized, and for lossless files the pixels given what the codes predict:

    MINAEC01   8 bytes
    header     4 bytes of length, then JSON: what the file needs of model and data
    codes      low and step of each code number (2·Z float32), then levels 0 ... 2^bits - 1
    pixels     lossless only

The last two are packed by zlib or LZMA, whichever is smaller; levels lie one code number
after the other. The pixels are not stored as differences but sorted by the value that the model
predicts for them (in order among equals): then the neighbourhoods that the packer adapts to are
those of equal prediction, and pixels that the model is sure of cost next to nothing. Of images only
a quarter is sorted so, every second pixel of every second row; then the pixels amid four of these,
and then the others, by prediction and by the mean of the four known around them. The reader makes
the same prediction from the same codes and puts the pixels back in the same three passes. Predict
in float64; a CRC of the pixels in the header tells if they ever come out differently.

The model itself is needed to read a file and is not counted; its CRC in the header refuses others.
"""

import json
import lzma
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from minae import latent
from minae.backends.spec import Array
from minae.errors import MinaeError

MAGIC = b"MINAEC01"
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 0, "pb": 0}]


def compress(
    model: Any,
    images: npt.ArrayLike,
    labels: npt.ArrayLike | None = None,
    *,
    bits: int | None = None,
    lossless: bool = True,
    image_shape: tuple[int, int] | None = None,
) -> bytes:
    """The file of images (M, D), uint8 (or float in [0, 1], which are lossy only).

    bits: of each quantized code number, 1 to 16; 8 where none are given, and 4 in lossless files,
    where finer codes cost more than they save.  image_shape: (H, W) of samples that are images,
    which makes lossless files smaller. Labels are stored where the model is conditioned
    on them. Raises MinaeError if the images are not of a kind that can be stored.
    """
    check_storable(model)
    images = np.asarray(images)
    if lossless and images.dtype != np.uint8:
        raise MinaeError(f"lossless files hold uint8 samples, found {images.dtype}: take lossy")
    bits = bits or (4 if lossless else 8)
    if not 1 <= bits <= 16:
        raise MinaeError(f"a code number takes 1 to 16 bits, found {bits}")
    codes = latent.encode(model, images, labels).astype(np.float64)  # (M, Z)
    low, high = codes.min(axis=0), codes.max(axis=0)
    scale = np.stack([low, np.maximum(high - low, 1e-12) / (2**bits - 1)]).astype("<f4")  # (2, Z)
    levels = np.clip(np.round((codes - scale[0]) / scale[1]), 0, 2**bits - 1).astype("<u2")
    header: dict[str, Any] = {
        "model": _model_crc(model),
        "shape": [len(images), int(np.prod(images.shape[1:]))],
        "code": codes.shape[1],
        "bits": bits,
        "lossless": lossless,
    }
    parts = [scale.tobytes(), _pack(_bytes(levels.T, bits))]
    if model.classes is not None:
        labels = np.asarray(labels)
        parts.append(_pack(labels.astype("<u2").tobytes()))
    if lossless:
        flat = images.reshape(-1)
        header["crc"] = zlib.crc32(flat.tobytes())
        header["image"] = image_shape
        stored = np.empty_like(flat)
        for where, order in _passes(flat, _predict(model, scale, levels, labels), image_shape):
            stored[where] = flat[order]
        parts.append(_pack(stored.tobytes()))
    text = json.dumps(header).encode()
    body = b"".join(struct.pack("<I", len(part)) + part for part in parts)
    return MAGIC + struct.pack("<I", len(text)) + text + body


def decompress(model: Any, file: bytes) -> Array:
    """The images (M, D) of a file: the very uint8 ones if it is lossless, else predictions as
    uint8. Raises MinaeError if the file is damaged, or was written with another model."""
    if file[: len(MAGIC)] != MAGIC:
        raise MinaeError("this is no file of minae.compress: it does not begin with MINAEC01")
    try:
        text, at = _block(file, len(MAGIC))
        header = json.loads(text)
        (M, D), Z, bits = header["shape"], header["code"], header["bits"]
        if header["model"] != _model_crc(model):
            raise MinaeError(
                "the file was written with another model: give the run that it was written with"
            )
        text, at = _block(file, at)
        scale = np.frombuffer(text, "<f4").reshape(2, Z)
        text, at = _block(file, at)
        levels = _levels(_unpack(text), bits).reshape(Z, M).T
        labels = None
        if model.classes is not None:
            text, at = _block(file, at)
            labels = np.frombuffer(_unpack(text), "<u2").astype(np.int64)
        predicted = _predict(model, scale, levels, labels)
        if not header["lossless"]:
            return predicted
        text, at = _block(file, at)
        images = np.zeros(M * D, np.uint8)
        stored = np.frombuffer(_unpack(text), np.uint8)
        for where, order in _passes(images, predicted, header["image"]):
            images[order] = stored[where]
    except (LookupError, TypeError, ValueError, struct.error, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, MinaeError):
            raise
        raise MinaeError(f"the file is damaged: {error}") from error
    if zlib.crc32(images.tobytes()) != header["crc"]:
        raise MinaeError(
            "the pixels come out differently: the file is damaged, or this machine's arithmetic "
            "predicts other ones; read it with the backend that wrote it"
        )
    return images.reshape(M, D)


def check_storable(model: Any) -> None:
    """Raise MinaeError if the samples of the model are not grey values of a byte each."""
    if not model.bounded:
        raise MinaeError(
            f"a file holds samples of bytes, and those of {type(model).__name__} are numbers in "
            "their own units: minae.encode writes their codes"
        )


def sizes(images: Array, image_shape: tuple[int, int] | None) -> dict[str, int]:
    """Bytes of uint8 samples (M, D) as they are, by gzip, by LZMA, and, of images, as PNG: a file
    for each, or one sheet of all."""
    import gzip
    import io

    from PIL import Image

    def png(picture: Array) -> int:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "png", optimize=True)
        return file.getbuffer().nbytes

    raw = images.tobytes()
    found = {
        "raw": len(raw),
        "gzip": len(gzip.compress(raw, 9)),
        "LZMA": len(lzma.compress(raw, preset=9)),
    }
    if image_shape is None:
        return found
    stacked = images.reshape(-1, *image_shape)
    return found | {
        "PNG, a file each": sum(map(png, stacked)),
        "PNG, one sheet": png(stacked.reshape(-1, image_shape[1])),
    }


def _predict(model: Any, scale: Array, levels: Array, labels: npt.ArrayLike | None) -> Array:
    """What the quantized codes decode to, uint8 (M, D)."""
    codes = scale[0].astype(np.float64) + levels * scale[1].astype(np.float64)
    pixels = np.clip(latent.decode(model, codes, labels), 0, 1)
    return np.round(255 * pixels).astype(np.uint8)


def _passes(
    pixels: Array, predicted: Array, image_shape: tuple[int, int] | None
) -> Iterator[tuple[slice, Array]]:
    """Where the pixels of each pass stand in the file, and which they are, in that order.

    pixels: flat uint8 (M·D,), of which a pass looks only at those of the passes before: a reader
    fills them in as it goes.  predicted: uint8 (M, D).
    """
    if image_shape is None:
        yield slice(None), np.argsort(predicted.reshape(-1), kind="stable")
        return
    H, W = image_shape
    row, column = np.mgrid[:H, :W] % 2
    corners, centres = (row == 0) & (column == 0), (row == 1) & (column == 1)
    aslant, straight = ((-1, -1), (-1, 1), (1, -1), (1, 1)), ((-1, 0), (1, 0), (0, -1), (0, 1))
    rest = ~(corners | centres)
    numbers = np.arange(pixels.size).reshape(-1, H, W)
    start = 0
    for chosen, known, ways in (
        (corners, None, ()),
        (centres, corners, aslant),
        (rest, ~rest, straight),
    ):
        key = predicted.reshape(-1, H, W).astype(np.int32)
        if known is not None:
            key = (key // 16) * 256 + _mean_around(pixels.reshape(-1, H, W), known, ways)
        which = numbers[:, chosen].reshape(-1)
        order = which[np.argsort(key[:, chosen].reshape(-1), kind="stable")]
        yield slice(start, start + len(order)), order
        start += len(order)


def _mean_around(images: Array, known: Array, ways: Sequence[tuple[int, int]]) -> Array:
    """Of each pixel the mean of those known around it, rounded down: int32 (M, H, W)."""
    M, H, W = images.shape
    total, count = np.zeros((M, H, W), np.int32), np.zeros((H, W), np.int32)
    padded = np.pad(images * known, ((0, 0), (1, 1), (1, 1)))
    there = np.pad(known.astype(np.int32), 1)
    for down, right in ways:
        part = np.s_[1 + down : 1 + down + H, 1 + right : 1 + right + W]
        total += padded[:, *part]
        count += there[part]
    mean: Array = total // np.maximum(count, 1)
    return mean


def _model_crc(model: Any) -> int:
    """CRC of all weights, as float32 whatever dtype they were loaded to."""
    crc = 0
    for _, values in sorted(model.parameters.to_numpy().items()):
        crc = zlib.crc32(np.ascontiguousarray(values, "<f4").tobytes(), crc)
    return crc


def _bytes(levels: Array, bits: int) -> bytes:
    """uint16 levels as bytes: one each up to 8 bits, else all low bytes and then all high ones."""
    if bits <= 8:
        return levels.astype(np.uint8).tobytes()
    return (levels & 255).astype(np.uint8).tobytes() + (levels >> 8).astype(np.uint8).tobytes()


def _levels(data: bytes, bits: int) -> Array:
    """What `_bytes` was given, flat."""
    values = np.frombuffer(data, np.uint8).astype(np.uint16)
    if bits <= 8:
        return values
    low, high = values.reshape(2, -1)
    return low | high << np.uint16(8)


def _pack(data: bytes) -> bytes:
    """Packed by zlib (first byte Z) or LZMA (first byte L), whichever is smaller."""
    zipped = b"Z" + zlib.compress(data, 9)
    packed = b"L" + lzma.compress(data, lzma.FORMAT_RAW, filters=FILTERS)
    return min(zipped, packed, key=len)


def _unpack(data: bytes) -> bytes:
    kind, rest = data[:1], data[1:]
    if kind == b"Z":
        return zlib.decompress(rest)
    if kind == b"L":
        return lzma.decompress(rest, lzma.FORMAT_RAW, filters=FILTERS)
    raise ValueError(f"a block begins with {kind!r}")


def _block(file: bytes, at: int) -> tuple[bytes, int]:
    """The block at this place, and the place after it."""
    (length,) = struct.unpack_from("<I", file, at)
    end = at + 4 + length
    if end > len(file):
        raise ValueError(f"it ends after {len(file)} bytes, {end} wanted")
    return file[at + 4 : end], end
