"""The NumPy backend: whole-array steps and BLAS. One file for each of `reference/`; see spec."""

from minae.backends.cpu_numpy.activations import (
    bias_activation_backward,
    bias_activation_double_backward,
    bias_activation_forward,
)
from minae.backends.cpu_numpy.adam import adam, adamw
from minae.backends.cpu_numpy.arrays import (
    add,
    asarray,
    copy,
    device_name,
    empty,
    record,
    set_tf32,
    set_threads,
    to_numpy,
    zeros,
)
from minae.backends.cpu_numpy.batch_norm import (
    batch_norm_backward,
    batch_norm_forward,
    batch_norm_inference,
)
from minae.backends.cpu_numpy.class_bias import class_bias_backward, class_bias_forward
from minae.backends.cpu_numpy.clip import clip_by_norm
from minae.backends.cpu_numpy.contractive import contractive_penalty
from minae.backends.cpu_numpy.conv2d import (
    conv2d_forward,
    conv2d_input_gradient,
    conv2d_weight_gradient,
)
from minae.backends.cpu_numpy.dense import matmul
from minae.backends.cpu_numpy.dropout import dropout_backward, dropout_forward
from minae.backends.cpu_numpy.gather import argsort, binarize, gather, one_hot, take
from minae.backends.cpu_numpy.gaussian_kl import gaussian_kl
from minae.backends.cpu_numpy.iwae import (
    importance_bound,
    importance_weights_backward,
    importance_weights_forward,
)
from minae.backends.cpu_numpy.losses import bce, bce_with_logits, l1, mse
from minae.backends.cpu_numpy.mixed_loss import mixed_loss, mixed_output
from minae.backends.cpu_numpy.philox import (
    random_bernoulli,
    random_normal,
    random_uint32,
    random_uniform,
)
from minae.backends.cpu_numpy.pooling import (
    avg_pool2d_backward,
    avg_pool2d_forward,
    max_pool2d_backward,
    max_pool2d_forward,
    upsample2d_backward,
    upsample2d_forward,
)
from minae.backends.cpu_numpy.reparameterization import (
    reparameterize_backward,
    reparameterize_forward,
)
from minae.backends.cpu_numpy.rmsprop import rmsprop
from minae.backends.cpu_numpy.sgd import sgd
from minae.backends.cpu_numpy.softmax_cross_entropy import softmax_cross_entropy
from minae.backends.cpu_numpy.sparse import sparse_matmul, sparse_pays, sparse_weight_gradient

name: str = "numpy"

__all__ = [
    "adam",
    "adamw",
    "add",
    "argsort",
    "asarray",
    "avg_pool2d_backward",
    "avg_pool2d_forward",
    "batch_norm_backward",
    "batch_norm_forward",
    "batch_norm_inference",
    "bce",
    "bce_with_logits",
    "bias_activation_backward",
    "bias_activation_double_backward",
    "bias_activation_forward",
    "binarize",
    "class_bias_backward",
    "class_bias_forward",
    "clip_by_norm",
    "contractive_penalty",
    "conv2d_forward",
    "conv2d_input_gradient",
    "conv2d_weight_gradient",
    "copy",
    "device_name",
    "dropout_backward",
    "dropout_forward",
    "empty",
    "gather",
    "gaussian_kl",
    "importance_bound",
    "importance_weights_backward",
    "importance_weights_forward",
    "l1",
    "matmul",
    "max_pool2d_backward",
    "max_pool2d_forward",
    "mixed_loss",
    "mixed_output",
    "mse",
    "name",
    "one_hot",
    "random_bernoulli",
    "random_normal",
    "random_uint32",
    "random_uniform",
    "record",
    "reparameterize_backward",
    "reparameterize_forward",
    "rmsprop",
    "set_tf32",
    "set_threads",
    "sgd",
    "softmax_cross_entropy",
    "sparse_matmul",
    "sparse_pays",
    "sparse_weight_gradient",
    "take",
    "to_numpy",
    "upsample2d_backward",
    "upsample2d_forward",
    "zeros",
]
