"""hinton: 784-1000-500-250-30 and back, the deep autoencoder of Hinton and Salakhutdinov (2006).

They report a squared error of 3.00 an image on MNIST's test set (PCA-30: 13.87, logistic PCA:
8.01), with logistic units, after pretraining layer by layer as restricted Boltzmann machines. Here:
no pretraining, ReLU layers, a linear code as theirs, He's initial values, and Adam with a learning
rate that falls along a cosine.
"""

from minae.init import He, Zeros
from minae.layers import Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import Adam, Cosine
from minae.recipes.recipe import Recipe

EPOCHS, BATCH_SIZE, SAMPLES = 30, 200, 60_000


def recipe(latent: int = 30) -> Recipe:
    def relu(in_features: int, out_features: int) -> Dense:
        return Dense(in_features, out_features, "relu", init=He(), bias_init=Zeros())

    model = Autoencoder(
        input_shape=(784,),
        encoder=Sequential(relu(784, 1000), relu(1000, 500), relu(500, 250), Dense(250, latent)),
        decoder=Sequential(
            relu(latent, 250), relu(250, 500), relu(500, 1000), Dense(1000, 784, "sigmoid")
        ),
        loss=MSE(reduction="image"),
    )
    fall = Cosine(EPOCHS * SAMPLES // BATCH_SIZE)
    return Recipe(model, Adam(lr=1e-3, schedule=fall), batch_size=BATCH_SIZE, epochs=EPOCHS)
