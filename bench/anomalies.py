"""How well the recipes series and intrusion find anomalies, over several seeds.

python -m bench.anomalies [--series FILE] [--records FILE] [--seeds N] [--backend NAME]

Without a file the data made by minae are taken. The published files are ECG5000_TRAIN of the UCR
archive and KDDTrain+_20Percent of NSL-KDD. Each model is trained on 60 % of the normal samples; the
figures are over the other 30 % and all anomalies, the threshold is chosen on the last 10 %.
"""

import argparse
from pathlib import Path

import numpy as np

from minae import detection, recipes
from minae.training import Training


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--series", type=Path, metavar="FILE")
    p.add_argument("--records", type=Path, metavar="FILE")
    p.add_argument("--seeds", type=int, default=3, metavar="N")
    p.add_argument("--backend", default="auto")
    options = p.parse_args()
    print(f"{'':28}{'AUROC':>8}{'least':>8}{'PCA':>8}{'found at 1 %':>14}{'and at 5 %':>12}")
    for name, path in (("series", options.series), ("intrusion", options.records)):
        measure(name, path, options.seeds, options.backend)


def measure(name: str, path: Path | None, seeds: int, backend: str) -> None:
    """Print one row: means over the seeds, and the least AUROC."""
    data = recipes.data(name).load(path)
    known = recipes.options(name)
    given = {option: value for option, value in data.dimensions.items() if option in known}
    reports = []
    for seed in range(seeds):
        recipe = recipes.make(name, **given)
        model = recipe.model.bind(backend, np.float32, seed)
        training = Training(
            model, recipe.optimizer, data.train_images, batch_size=recipe.batch_size, seed=seed
        )
        for _ in range((recipe.epochs or 1) * training.steps_per_epoch):
            training.step()
        training.loss()  # raises if it is not finite
        reports.append(detection.report(model, data))
    aurocs = [report["auroc"] for report in reports]
    found = [
        np.mean([r["at_false_alarm_rate"][rate]["detection_rate"] for r in reports])
        for rate in ("0.01", "0.05")
    ]
    print(
        f"{data.name[:27]:28}{np.mean(aurocs):8.4f}{min(aurocs):8.4f}"
        f"{reports[0]['auroc_pca']:8.4f}{found[0]:14.1%}{found[1]:12.1%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
