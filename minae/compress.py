"""Compress samples to a file by a trained model, and compare its size with gzip and PNG."""

import argparse
import sys
from collections.abc import Sequence

import numpy as np

from minae import command, compression, plots
from minae.datasets import ImageSet
from minae.errors import MinaeError
from minae.files import whole_file
from minae.ledger import mean_psnr


def parser() -> command.Parser:
    p = command.parser_for("compress", __doc__)
    p.add_argument("--lossy", action="store_true", help="codes only (default: lossless)")
    p.add_argument(
        "--bits",
        type=command.whole(1, 16),
        metavar="N",
        help="of a quantized code number (default: 4, or 8 if lossy)",
    )
    p.add_argument(
        "--out",
        type=command.output(".minae"),
        metavar="FILE",
        help="(default: RUN/samples.minae); a picture of the sizes goes beside it, -sizes.png",
    )
    return p


def compress(options: argparse.Namespace) -> None:
    # in float64: predictions must come out the same when they are read
    run = command.Run(options.run, options.backend, np.float64)
    model = run.able("encode", "decode")
    compression.check_storable(model)
    samples = run.samples(options)
    labels = None if model.classes is None else samples.labels
    lossless = not options.lossy
    # maps, a byte image a kind of tile, are compared with gzip and LZMA alone
    image_shape = run.kind.shape(model) if issubclass(run.kind, ImageSet) else None
    file = compression.compress(
        model,
        samples.images,
        labels,
        bits=options.bits,
        lossless=lossless,
        image_shape=image_shape,
    )
    back = compression.decompress(model, file)
    path = options.out or run.folder / "samples.minae"
    try:
        with whole_file(path) as partial:
            partial.write_bytes(file)
    except OSError as error:
        raise MinaeError(f"cannot write {path} ({error.strerror})") from error
    kind = "lossless" if lossless else f"lossy, PSNR {mean_psnr(samples.pixels, back / 255):.2f} dB"
    table = {f"minae, {kind}": len(file)}
    if samples.images.dtype == np.uint8:
        table |= compression.sizes(samples.images, image_shape)
    raw = samples.images.size
    what = f"{len(samples)} {run.kind.samples}"
    print(f"{what}, read back and compared; bytes, and times smaller than raw:")
    for name, size in table.items():
        print(f"  {name:<32}{size:>12,}{raw / size:8.2f}")
    weights = (run.folder / "model.safetensors").stat().st_size
    print(f"  (to read it back the model is needed, {weights:,} bytes, not counted)")
    print(path)
    picture = path.with_name(f"{path.stem}-sizes.png")
    title = f"{run.name}: {len(samples):,} {run.kind.samples} in a file"
    plots.sizes(picture, table, title=title)
    print(picture)


def main(arguments: Sequence[str] | None = None) -> int:
    return command.run(parser(), compress, arguments)


if __name__ == "__main__":
    sys.exit(main())
