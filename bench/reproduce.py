"""Compute every figure that the source pages and papers print, and write RESULTS.md.

    python -m bench.reproduce [--quick] [--only NAME ...] [--backend numba|numpy|cupy]

runs the experiments below, an hour or two on two cores; --quick stops each training after 1200
steps, ten minutes in all. --only takes those of these names, or whose names have these words; the
results of the others stay. After each experiment bench/reproduce.json and RESULTS.md are written
anew; --render writes the page from what is there and runs nothing.

A new figure is a Figure in a row of EXPERIMENTS; a new computation a row, and a function in
bench/experiments.py.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench import experiments as run
from bench import results
from bench.results import Experiment, Figure
from minae.backends import PACKAGES
from minae.errors import MinaeError
from minae.run import versions
from minae.threads import Threads

ROOT = Path(__file__).parents[1]
A, B, C, E = (f"page {page}" for page in "ABCE")
GOAL = "goal"  # set for minae itself, printed nowhere


def deep_figures() -> tuple[Figure, ...]:
    printed = (
        "0.234978",
        "0.016520",
        "0.010679",
        "0.006323",
        "0.004884",
        "0.003990",
        "0.003604–0.003933",
    )
    return tuple(
        Figure(
            f"step {step}",
            f"MSE of the batch at step {step:,}",
            text,
            B,
            "lower" if step else "same",
        )
        for step, text in zip(run.DEEP_STEPS, printed, strict=True)
    )


def latent_figures() -> tuple[Figure, ...]:
    printed = {
        "batch": ("0.0388", "0.0247", "0.0170", "0.0144", "0.0120"),
        "train": ("0.0395", "0.0265", "0.0185", "0.0126", "0.0114"),
        "test": ("0.0400", "0.0267", "0.0185", "0.0125", "0.0113"),
    }
    what = {"batch": "the last 96 images", "train": "training set", "test": "test set"}
    return tuple(
        Figure(
            f"{part} {d}",
            f"MSE, d = {d}, {what[part]}",
            text,
            E if part == "batch" else f"{E}, measured again",
        )
        for part, texts in printed.items()
        for d, text in zip(run.SIZES, texts, strict=True)
    )


def pca_figures() -> tuple[Figure, ...]:
    printed = ("0.0557", "0.0445", "0.0341", "0.0235", "0.0115")
    return tuple(
        Figure(f"mse {d}", f"MSE of PCA, d = {d}, test set", text, f"PCA beside {E}", "same")
        for d, text in zip(run.SIZES, printed, strict=True)
    )


HINTON, BURDA = "Hinton & Salakhutdinov 2006", "Burda et al. 2016, table 1"
VINCENT, RIFAI, RASBT = "Vincent et al. 2010, table 3", "Rifai et al. 2011, table 1", "rasbt"
NLL = "5000-sample NLL, nats, black and white pixels"
LENGTH = "the short training, 20 epochs where the paper has 3280"

EXPERIMENTS = (
    Experiment(
        "M1",
        "recipe `vanilla`, 5 epochs; the mean and the least of the last 50 batches",
        run.vanilla,
        (
            Figure("first batch", "BCE a pixel of the first batch", "0.71", A, "same"),
            Figure("last batches", "BCE a pixel of the last batches, mean", "0.0927–0.0948", A),
            Figure("least", "BCE a pixel of the last batches, least", "0.0927–0.0948", A),
            Figure("test", "BCE a pixel, test set", "0.0950", GOAL),
            Figure("floor", "least BCE an image of grey pixels, nats", "45.5", "mistake 4", "same"),
        ),
        seeds=(123, 1, 2),
        cause="single batches scatter by several per cent around their mean, and the page prints a "
        "few of them",
    ),
    Experiment(
        "M2",
        "784-500-15-500-784, ReLU, Adam 1e-3, batch 128, 40 epochs",
        run.variational,
        tuple(
            Figure(part, f"nats an image (-ELBO), {part} set", "95–104", "another course")
            for part in ("train", "test")
        ),
    ),
    Experiment(
        "M3",
        "recipe `cvae`, 50 epochs; 100 drawn images of each class, judged by a "
        "784-500-250-10 classifier trained on all labels",
        run.conditional(faithful=False),
        (
            Figure("train", "nats an image, training set", "104–110", A),
            Figure("test", "nats an image, test set", "104–110", A),
            Figure("recognised", "drawn images recognised, %", "95", GOAL, "higher"),
        ),
    ),
    Experiment(
        "M3-faithful",
        "recipe `cvae --faithful`, 50 epochs",
        run.conditional(faithful=True),
        tuple(
            Figure(part, f"nats an image, {part} set, last activation as on the page", "104–110", A)
            for part in ("train", "test")
        ),
        cause="the page's leaky ReLU before the sigmoid, its mistake 3, with which blank pixels "
        "cannot become black, and a third of its epochs",
    ),
    Experiment(
        "M6",
        "recipe `deep`, losses of single batches",
        run.deep,
        deep_figures(),
        seeds=(0, 1, 2),
        cause="losses of single batches, which scatter by as much; the page itself prints two runs "
        "that differ by 9 % at the last step",
    ),
    Experiment(
        "M14",
        "recipe `latent` without shuffling, as on the page; 10 epochs",
        run.latent_sizes,
        latent_figures(),
        seeds=(42, 1, 2),
        cause="one seed there, and no shuffling in these runs; shuffled, as `minae.train` runs the "
        "recipe, d = 2 and d = 50 reach what is printed (`bench.must_show`)",
    ),
    Experiment(
        "compression",
        "recipe `latent --latent 50`; bytes of the test images over those of the files that "
        "`minae.compress` writes, one of 8-bit codes and one that gives every pixel back",
        run.file_sizes,
        (
            Figure("lossy", "times smaller, codes only", "3.9", f"{E}, mistake 8", "higher"),
            Figure("lossless", "times smaller, every pixel given back", "1.0", GOAL, "higher"),
        ),
        seeds=(42,),
    ),
    Experiment(
        "PCA",
        "minae.ledger, no training",
        run.principal_components,
        (
            *pca_figures(),
            Figure("squared error 30", "squared error an image of PCA-30", "13.87", HINTON, "same"),
        ),
    ),
    Experiment(
        "M10",
        "recipe `pca`, and PCA of the training set",
        run.linear_tied,
        (
            Figure(
                "ratio",
                "error of the linear tied model over PCA's",
                "1.000",
                "same MSE: B, C, E",
                "same",
            ),
        ),
    ),
    Experiment(
        "M9",
        "recipes `contractive` and `tanh`, 300 epochs each",
        run.contraction,
        (
            Figure("norm", "times smaller mean norm of the Jacobian", "5.0", GOAL, "higher"),
            Figure("error", "MSE over that of tanh", "1.10", GOAL),
        ),
    ),
    Experiment(
        "inpainting",
        "recipe `conv-denoising`; half of the pixels of 2000 test images missing, known ones kept",
        run.repair,
        tuple(
            Figure(method, f"PSNR above {method}'s, dB", "0.00", GOAL, "higher")
            for method in ("Telea", "Navier-Stokes")
        ),
    ),
    *(
        Experiment(
            name,
            f"recipe `{name}` on the data made by minae, test part",
            run.detected(name),
            (
                Figure("auroc", "AUROC, normal against all others", "0.500", "chance", "higher"),
                Figure("over PCA", "AUROC above that of PCA's error", "0.000", GOAL, "higher"),
            ),
        )
        for name in ("series", "intrusion")
    ),
    Experiment(
        "super-resolution",
        "recipe `super-resolution`, 28×28 from 14×14, test set",
        run.enlarged,
        (Figure("gain", "PSNR above bicubic's, dB", "0.00", GOAL, "higher"),),
    ),
    Experiment(
        "hinton",
        "recipe `hinton`, 784-1000-500-250-30, 30 epochs",
        run.hinton,
        (Figure("test", "squared error an image, test set", "3.00", HINTON),),
        cause="30 epochs with one learning-rate schedule; theirs is pretrained layer by layer and "
        "fine-tuned by conjugate gradients for much longer",
    ),
    Experiment(
        "logistic-pca",
        "784-30-784, linear code, logistic output, BCE, 20 epochs",
        run.logistic_pca,
        (Figure("test", "squared error an image, test set", "8.01", HINTON),),
        cause="the loss is the cross entropy, and the error by which it is judged the squared one",
    ),
    Experiment(
        "iwae",
        "recipe `iwae`, k = 1, 5, 50, 20 epochs each; NLL of 2000 test images",
        run.importance_weighted,
        (
            Figure("k = 1", f"{NLL}, VAE", "86.76", BURDA),
            Figure("k = 5", f"{NLL}, k = 5", "85.54", BURDA),
            Figure("k = 50", f"{NLL}, k = 50", "84.78", BURDA),
            Figure("1 over 5", "what k = 5 gains on k = 1, nats", "0.00", GOAL, "higher"),
            Figure("5 over 50", "what k = 50 gains on k = 5, nats", "0.00", GOAL, "higher"),
        ),
        cause=LENGTH,
    ),
    Experiment(
        "fine-tuned-denoising",
        "784-1000-500, all layers pretrained at once for 20 epochs, with 25 % of the pixels "
        "dropped or with none; then 15 epochs on all labels",
        run.stacked_denoising,
        (
            Figure("denoising", "test error, %, denoising", "1.28", VINCENT),
            Figure("plain", "test error, %, plain", "1.40", VINCENT),
        ),
        cause="two layers pretrained at once and briefly, where theirs has three of 1000 or more, "
        "each pretrained by itself, sizes and noise chosen on a validation set",
    ),
    Experiment(
        "fine-tuned-contractive",
        "784-1000, sigmoid, pretrained for 20 epochs with weight 0.1 on the penalty or 0; then 40 "
        "epochs on all labels",
        run.contractive_features,
        (
            Figure("contractive", "test error, %, contractive", "1.14", RIFAI),
            Figure("plain", "test error, %, plain", "1.78", RIFAI),
        ),
        cause="decoder not tied, weight of the penalty not chosen on a validation set, short "
        "training",
    ),
    Experiment(
        "forest",
        "random forest of 500 trees on codes of recipe `vanilla`, on PCA-32, on pixels",
        run.codes_and_forest,
        (
            Figure("codes", "test accuracy, %, 32 codes", "95.23", RASBT, "higher"),
            Figure("PCA", "test accuracy, %, PCA-32", "95.70", RASBT, "higher"),
            Figure("pixels", "test accuracy, %, pixels", "97.09", RASBT, "higher"),
        ),
        seeds=(123,),
        cause="random forests differ by a tenth of a per cent from seed to seed",
    ),
)


def parser() -> argparse.ArgumentParser:
    p = argparse.ArgumentParser(
        prog="python -m bench.reproduce",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--quick", action="store_true", help="short trainings, one seed each")
    p.add_argument("--only", nargs="+", metavar="NAME", help="these experiments only")
    p.add_argument("--list", action="store_true", help="list the experiments and stop")
    p.add_argument("--render", action="store_true", help="write the page from earlier results")
    p.add_argument("--backend", default="numba", choices=sorted(PACKAGES))
    p.add_argument("--threads", type=int, metavar="N", help="(default: as in minae.train)")
    p.add_argument("--json", type=Path, default=ROOT / "bench" / "reproduce.json", metavar="FILE")
    p.add_argument("--out", type=Path, default=ROOT / "RESULTS.md", metavar="FILE")
    return p


def chosen(names: Sequence[str] | None) -> list[Experiment]:
    """The experiments that --only names, by their whole name or else by a part of it.

    Raises MinaeError if a name fits none.
    """
    known = [experiment.name for experiment in EXPERIMENTS]
    wanted = set[str]()
    for name in names or known:
        found = [name] if name in known else [other for other in known if name in other]
        if not found:
            raise MinaeError(f"no experiment is called {name!r}; choose among {', '.join(known)}")
        wanted.update(found)
    return [experiment for experiment in EXPERIMENTS if experiment.name in wanted]


def measured(
    experiment: Experiment, backend: str, *, quick: bool, threads: int | None
) -> results.Entry:
    """Run an experiment with each of its seeds, or with the first in a quick pass."""
    seeds = experiment.seeds[:1] if quick else experiment.seeds
    values: dict[str, list[float]] = {}
    setting = run.Setting(backend, 0, quick)
    count = Threads(setting.ops, threads).count
    begin = time.perf_counter()
    for seed in seeds:
        setting.seed = seed
        for key, value in experiment.compute(setting).items():
            values.setdefault(key, []).append(float(value))
    return {
        "name": experiment.name,
        "backend": backend,
        "quick": quick,
        "seeds": [*seeds],
        "values": values,
        "seconds": (time.perf_counter() - begin) / len(seeds),
        "device": setting.ops.device_name(),
        "threads": count,
        "versions": versions(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    if options.list:
        for experiment in EXPERIMENTS:
            print(f"{experiment.name:<24} {experiment.how}")
        return 0
    try:
        entries = results.load(options.json)
        for experiment in [] if options.render else chosen(options.only):
            print(f"{experiment.name}: {experiment.how}", flush=True)
            with np.errstate(over="ignore", invalid="ignore"):
                entry = measured(
                    experiment, options.backend, quick=options.quick, threads=options.threads
                )
            entries = results.merged(entries, entry)
            results.save(options.json, entries)
            results.write_whole(options.out, page(entries))
            print(f"  {entry['seconds']:.1f} s a seed: {shown(experiment, entry)}", flush=True)
        results.write_whole(options.out, page(entries))
    except MinaeError as error:
        print(f"minae: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"minae: interrupted; what was finished is in {options.out}", file=sys.stderr)
        return 130
    print(options.out)
    return 0


def page(entries: Sequence[results.Entry]) -> str:
    return results.page(EXPERIMENTS, entries, "python -m bench.reproduce")


def shown(experiment: Experiment, entry: results.Entry) -> str:
    """The entry's figures in one line, with what was printed."""
    found = [
        f"{figure.key} {results.ours(entry['values'][figure.key], figure.decimals)} "
        f"({figure.printed})"
        for figure in experiment.figures
        if figure.key in entry["values"]
    ]
    return ", ".join(found)


if __name__ == "__main__":
    sys.exit(main())
