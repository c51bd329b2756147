"""The computations behind `bench.reproduce`: each trains what it needs and returns figures by key.

All figures are over whole sets, unless a key says batch: the source pages print single batches.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from statistics import mean
from typing import Any

import numpy as np

from bench import inpainting, iwae
from minae import compression, detection, ledger, recipes
from minae.backends import get_backend
from minae.backends.spec import Array, Backend
from minae.datasets import AnomalySet, Dataset, load_images
from minae.errors import MinaeError
from minae.init import Xavier, Zeros
from minae.layers import Dense, Layer, MaskingNoise, Sequential
from minae.losses import BCEWithLogits
from minae.models import (
    Autoencoder,
    Classifier,
    ConditionalVAE,
    ContractiveAutoencoder,
    DenoisingAutoencoder,
    VariationalAutoencoder,
)
from minae.models.contractive import jacobian_norms
from minae.models.model import Model
from minae.optim import Adam, Cosine
from minae.recipes import Recipe
from minae.training import Training

QUICK = 1200  # steps of a training at most, in a quick pass
LAST = 50  # batches whose mean loss stands for "the last batches"

TREES = 500  # of a random forest, as in the source

Figures = dict[str, float]


@dataclass
class Setting:
    """On what and how long an experiment trains."""

    backend: str
    seed: int
    quick: bool = False
    data: Dataset = field(default_factory=load_images)

    @property
    def ops(self) -> Backend:
        return get_backend(self.backend)

    def steps(self, recipe: Recipe) -> int:
        """Steps for which the recipe is trained."""
        samples = len(self.data.train_images)
        full = recipe.steps or (recipe.epochs or 1) * -(-samples // recipe.batch_size)
        return min(full, QUICK) if self.quick else full

    def fit(
        self,
        recipe: Recipe,
        watched: Collection[int] = (),
        labels: Array | None = None,
    ) -> dict[int, float]:
        """Train the recipe on the training images; the batch losses at the watched steps, counted
        from 0 and from the end if negative, as far as the training comes."""
        if not hasattr(recipe.model, "parameters"):
            recipe.model.bind(self.ops, np.float32, recipe.seed)
        training = Training(
            recipe.model,
            recipe.optimizer,
            self.data.train_images,
            labels,
            batch_size=recipe.batch_size,
            seed=recipe.seed,
            shuffle=recipe.shuffle,
        )
        losses, steps = {}, self.steps(recipe)
        for step in range(steps):
            training.step()
            for name in {step, step - steps} & set(watched):
                losses[name] = training.loss()
        training.loss()  # raises if it is not finite
        return losses

    def fit_falling(self, recipe: Recipe, labels: Array | None = None) -> None:
        """The same with a learning rate that falls to 0 along a cosine."""
        recipe.optimizer.schedule = Cosine(self.steps(recipe))
        self.fit(recipe, labels=labels)

    def recipe(self, name: str, **options: Any) -> Recipe:
        """The recipe of this name with this setting's seed."""
        recipe = recipes.make(name, **options)
        recipe.seed = self.seed
        return recipe

    def evaluate(self, model: Model, part: str = "test") -> Figures:
        images, labels = (getattr(self.data, f"{part}_{kind}") for kind in ("images", "labels"))
        return model.evaluate(images, labels if model.classes else None)


# ------------------------------------------------------------------ the course pages
def vanilla(setting: Setting) -> Figures:
    recipe = setting.recipe("vanilla")
    last = range(-LAST, 0)
    losses = setting.fit(recipe, [0, *last])
    figures = setting.evaluate(recipe.model)
    return {
        "first batch": losses[0],
        "last batches": mean(losses[step] for step in last),
        "least": min(losses[step] for step in last),
        "test": figures["bce_per_pixel"],
        "floor": figures["bce_floor_per_pixel"] * setting.data.test_images.shape[1],
    }


def variational(setting: Setting) -> Figures:
    """The recipe vae with 500 hidden units and a code of 15."""
    model = VariationalAutoencoder(
        (784,),
        latent=15,
        encoder=Sequential(Dense(784, 500, activation="relu"), Dense(500, 30)),
        decoder=Sequential(Dense(15, 500, activation="relu"), Dense(500, 784)),
        loss=BCEWithLogits(reduction="image"),
    )
    recipe = Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=40, seed=setting.seed)
    setting.fit(recipe)
    return {part: setting.evaluate(model, part)["nats_per_image"] for part in ("train", "test")}


def conditional(faithful: bool) -> Callable[[Setting], Figures]:
    """The recipe cvae, corrected or faithful to the page."""

    def experiment(setting: Setting) -> Figures:
        recipe = setting.recipe("cvae", faithful=faithful)
        recipe.epochs = 50
        setting.fit(recipe, labels=setting.data.train_labels)
        model = recipe.model
        assert isinstance(model, ConditionalVAE)
        figures = {p: setting.evaluate(model, p)["nats_per_image"] for p in ("train", "test")}
        if not faithful:
            labels = np.repeat(np.arange(10), 100)
            judge = classifier(setting)
            drawn = (model.sample(len(labels), seed=setting.seed, labels=labels) * 255).round()
            right = judge.predict(drawn.astype(np.uint8)) == labels
            figures["recognised"] = 100 * float(right.mean())
        return figures

    return experiment


def classifier(setting: Setting) -> Classifier:
    """784-500-250-10 from random weights, trained on all labels."""
    encoder = Sequential(Dense(784, 500, activation="relu"), Dense(500, 250, activation="relu"))
    model = Classifier((784,), encoder, Dense(250, 10))
    recipe = Recipe(model, Adam(lr=1e-3), batch_size=128, epochs=10, seed=setting.seed)
    setting.fit(recipe, labels=setting.data.train_labels)
    return model


DEEP_STEPS = (0, 1000, 2000, 5000, 10_000, 15_000, 20_000)


def deep(setting: Setting) -> Figures:
    recipe = setting.recipe("deep")
    recipe.steps = 20_001  # the page counts its steps from 0
    losses = setting.fit(recipe, DEEP_STEPS)
    return {f"step {step}": loss for step, loss in losses.items()}


SIZES = (2, 5, 10, 20, 50)


def latent_sizes(setting: Setting) -> Figures:
    """The recipe latent as the page trains it, not shuffled: its last batch is of 96 images."""
    figures = {}
    for d in SIZES:
        recipe = setting.recipe("latent", latent=d)
        recipe.shuffle = False
        figures[f"batch {d}"] = setting.fit(recipe, [-1])[-1]
        for part in ("train", "test"):
            figures[f"{part} {d}"] = setting.evaluate(recipe.model, part)["mse_per_pixel"]
    return figures


def principal_components(setting: Setting) -> Figures:
    """PCA's errors on the test set."""
    data = setting.data

    def of_pca(d: int) -> Figures:
        figures: Figures = ledger.baselines(data.train_images, data.test_images, d)["pca"]["test"]
        return figures

    figures = {f"mse {d}": of_pca(d)["mse_per_pixel"] for d in SIZES}
    return figures | {"squared error 30": of_pca(30)["squared_error_per_image"]}


def file_sizes(setting: Setting) -> Figures:
    """How many times smaller than the test images the files of minae.compress are."""
    recipe, images = setting.recipe("latent", latent=50), setting.data.test_images
    setting.fit(recipe)
    files = {
        "lossy": compression.compress(recipe.model, images, lossless=False),
        "lossless": compression.compress(recipe.model, images),
    }
    if not np.array_equal(compression.decompress(recipe.model, files["lossless"]), images):
        raise MinaeError("a lossless file gave back other images")
    return {name: images.size / len(file) for name, file in files.items()}


# ------------------------------------------------------------------ published elsewhere
def hinton(setting: Setting) -> Figures:
    recipe = setting.recipe("hinton")
    setting.fit(recipe)
    return {"test": setting.evaluate(recipe.model)["squared_error_per_image"]}


def logistic_pca(setting: Setting) -> Figures:
    """784-30-784, linear code, logistic output, BCE."""

    def layer(in_features: int, out_features: int) -> Dense:
        return Dense(in_features, out_features, init=Xavier(), bias_init=Zeros())

    loss = BCEWithLogits(reduction="image")
    model = Autoencoder((784,), layer(784, 30), layer(30, 784), loss)
    recipe = Recipe(model, Adam(lr=2e-3), batch_size=250, epochs=20, seed=setting.seed)
    setting.fit_falling(recipe)
    return {"test": setting.evaluate(model)["squared_error_per_image"]}


def importance_weighted(setting: Setting) -> Figures:
    """The recipe iwae for k = 1, 5, 50, much shorter than published, and the order of the three."""
    epochs, images = (1, 200) if setting.quick else (20, 2000)
    nll = {
        k: iwae.reached(k, epochs, images, setting.backend, setting.seed)["nll"] for k in (1, 5, 50)
    }
    figures = {f"k = {k}": value for k, value in nll.items()}
    return figures | {"1 over 5": nll[1] - nll[5], "5 over 50": nll[5] - nll[50]}


def fine_tuned(
    setting: Setting, pretrained: Model, encoder: Layer, width: int, *, lr: float, epochs: int
) -> float:
    """Test error in per cent of this encoder with a softmax head, trained on all labels."""
    model = Classifier((784,), encoder, Dense(width, 10)).bind(setting.ops, np.float32, 0)
    assert isinstance(model, Classifier)
    model.take_encoder(pretrained)
    recipe = Recipe(model, Adam(lr=lr), batch_size=128, epochs=epochs, seed=setting.seed)
    setting.fit_falling(recipe, labels=setting.data.train_labels)
    return 100 * setting.evaluate(model)["error_rate"]


def stacked_denoising(setting: Setting) -> Figures:
    """784-1000-500, ReLU, pretrained with a quarter of the pixels dropped and without, all layers
    at once; then fine-tuned on all labels."""

    def encoder() -> Sequential:
        return Sequential(Dense(784, 1000, activation="relu"), Dense(1000, 500, activation="relu"))

    figures = {}
    for name, p in (("denoising", 0.25), ("plain", 0.0)):
        model = DenoisingAutoencoder(
            (784,),
            encoder(),
            Sequential(Dense(500, 1000, activation="relu"), Dense(1000, 784)),
            BCEWithLogits(reduction="mean"),
            noise=MaskingNoise(p=p),
        )
        setting.fit(Recipe(model, Adam(lr=1e-3), 256, epochs=20, seed=setting.seed))
        figures[name] = fine_tuned(setting, model, encoder(), 500, lr=5e-4, epochs=15)
    return figures


def contractive_features(setting: Setting) -> Figures:
    """784-1000-784, sigmoid, pretrained with the contractive penalty and without; fine-tuned."""

    def encoder() -> Dense:
        return Dense(784, 1000, activation="sigmoid")

    figures = {}
    for name, weight in (("contractive", 0.1), ("plain", 0.0)):
        model = ContractiveAutoencoder(
            (784,),
            encoder(),
            Dense(1000, 784),
            BCEWithLogits(reduction="image"),
            weight=weight,
        )
        setting.fit(Recipe(model, Adam(lr=1e-3), 256, epochs=20, seed=setting.seed))
        figures[name] = fine_tuned(setting, model, encoder(), 1000, lr=2e-3, epochs=40)
    return figures


def codes_and_forest(setting: Setting) -> Figures:
    """Test accuracy in per cent of a random forest on codes, on PCA's codes, on pixels."""
    from sklearn.ensemble import RandomForestClassifier

    data, recipe = setting.data, setting.recipe("vanilla")
    setting.fit(recipe)
    model = recipe.model
    assert isinstance(model, Autoencoder)
    mean_image, basis = ledger.principal_components(data.train_images, 32)
    features: dict[str, Callable[[Array], Array]] = {
        "codes": model.encode,
        "PCA": lambda images: (images - mean_image) @ basis,
        "pixels": lambda images: images,
    }
    figures = {}
    for name, of in features.items():
        trees = TREES // 10 if setting.quick else TREES
        forest = RandomForestClassifier(trees, random_state=setting.seed % 2**32, n_jobs=-1)
        forest.fit(of(data.train_images), data.train_labels)
        figures[name] = 100 * forest.score(of(data.test_images), data.test_labels)
    return figures


# ------------------------------------------------------------------ what the recipes must show
def contraction(setting: Setting) -> Figures:
    """How much smaller the Jacobian of contractive is than that of tanh, and at what error."""
    norm, error = {}, {}
    for name in ("tanh", "contractive"):
        recipe = setting.recipe(name)
        recipe.epochs = 300
        setting.fit(recipe)
        model = recipe.model
        assert isinstance(model, Autoencoder)
        norm[name] = float(jacobian_norms(model, setting.data.test_images).mean())
        error[name] = setting.evaluate(model)["mse_per_pixel"]
    return {
        "norm": norm["tanh"] / norm["contractive"],
        "error": error["contractive"] / error["tanh"],
    }


def repair(setting: Setting) -> Figures:
    """PSNR of a denoising model above the better of two classical methods, half the pixels lost."""
    recipe = setting.recipe("conv-denoising")
    setting.fit(recipe)
    model = recipe.model
    assert isinstance(model, DenoisingAutoencoder)
    psnr, _ = inpainting.compare(model, setting.data.test_images[:2000])
    known = psnr["model, known pixels kept"]
    return {name: known - psnr[name] for name in ("Telea", "Navier-Stokes")}


def linear_tied(setting: Setting) -> Figures:
    """The recipe pca beside PCA, squared error an image on the test set."""
    recipe = setting.recipe("pca")
    setting.fit(recipe)
    data = setting.data
    of_pca = ledger.baselines(data.train_images, data.test_images, 30)["pca"]["test"]
    reached = setting.evaluate(recipe.model)["squared_error_per_image"]
    return {"ratio": reached / of_pca["squared_error_per_image"]}


def enlarged(setting: Setting) -> Figures:
    """PSNR of the recipe super-resolution above that of bicubic enlargement."""
    recipe = setting.recipe("super-resolution")
    setting.fit(recipe)
    figures = setting.evaluate(recipe.model)
    return {"gain": figures["enlarged_psnr"] - figures["bicubic_psnr"]}


def detected(name: str) -> Callable[[Setting], Figures]:
    """AUROC of a recipe that finds anomalies in the data made here, and what PCA leaves to it."""

    def experiment(setting: Setting) -> Figures:
        load = recipes.loader(name)
        assert load is not None
        data, known = load(None), recipes.options(name)
        assert isinstance(data, AnomalySet)
        recipe = setting.recipe(name, **{k: v for k, v in data.dimensions.items() if k in known})
        replace(setting, data=data).fit(recipe)
        assert isinstance(recipe.model, detection.Detector)
        found = detection.report(recipe.model, data)
        return {"auroc": found["auroc"], "over PCA": found["auroc"] - found["auroc_pca"]}

    return experiment
