"""minae COMMAND ...: what `python -m minae.COMMAND ...` does, under one name."""

import importlib
import sys
from collections.abc import Sequence

COMMANDS = {
    "train": "train a recipe, or go on with a run",
    "evaluate": "the ledger of a trained model, on any data",
    "reconstruct": "originals and reconstructions",
    "encode": "samples to codes, .npy or .csv",
    "decode": "codes to samples",
    "sample": "draw new samples",
    "interpolate": "between samples, by codes and by pixels",
    "traverse": "along axes of the code, components, or concepts",
    "denoise": "damage and repair",
    "inpaint": "fill in missing pixels, beside classical methods",
    "score": "anomaly scores and where they come from",
    "neighbours": "the nearest samples by code",
    "compress": "samples to a small file",
    "decompress": "and back",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments), "--help"]
    if name in COMMANDS:
        command = importlib.import_module(f"minae.{name}")
        code: int = command.main(rest[:-1])
        return code
    if name in ("--help", "-h"):
        print("minae COMMAND ... [--help]\n")
        print("\n".join(f"  {command:<12} {what}" for command, what in COMMANDS.items()))
        return 0
    print(f"minae: unknown command {name!r}; choose one of {', '.join(COMMANDS)}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
