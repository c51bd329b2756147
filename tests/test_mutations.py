"""Wrong operations, mostly backward passes, each of which the comparison of the suite must catch.

A test that cannot fail proves nothing. Each function below is put in the place of an operation of
the NumPy backend and run through `operations.check` on the calls of `test_operation`; it must be
caught by a comparison with a judge, while the right operation passes the very call that caught it.
`right` is that operation. Where a fault needs square matrices or the like, other calls go to it.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from comparison import DTYPES, SEEDS, Draw, check
from operations import CASES

import minae
from minae.backends.spec import OPERATIONS

NUMPY = minae.get_backend("numpy")
MUTATIONS = []


def wrong(*operations):
    """Enters a function into the list as a wrong version of each of these operations."""

    def enter(function):
        MUTATIONS.extend((operation, function) for operation in operations)
        return function

    return enter


def over_pixels(values, x):
    """(C,) as (C, 1, 1) where x is an image."""
    return values.reshape(values.shape + (1,) * (x.ndim - 2))


# ------------------------------------------------------------ any backward pass
BACKWARD = (
    *("conv2d_input_gradient", "class_bias_backward", "max_pool2d_backward"),
    *("avg_pool2d_backward", "upsample2d_backward", "dropout_backward"),
)


@wrong(*BACKWARD)
def upstream_of_ones(right, dy, *rest, out):
    right(np.ones_like(dy), *rest, out=out)


@wrong(*BACKWARD)
def upstream_rolled(right, dy, *rest, out):
    right(np.roll(dy, 1, axis=-1), *rest, out=out)


@wrong(*BACKWARD)
def upstream_flipped(right, dy, *rest, out):
    right(dy[..., ::-1], *rest, out=out)


@wrong(*BACKWARD)
def sign(right, dy, *rest, out):
    right(-dy, *rest, out=out)


@wrong(*BACKWARD)
def mean_over_the_batch(right, dy, *rest, out):
    right(dy / len(dy), *rest, out=out)


@wrong(*BACKWARD)
def last_sample_dropped(right, dy, *rest, out):
    dy = dy.copy()
    dy[-1] = 0
    right(dy, *rest, out=out)


@wrong(*BACKWARD)
def added_to_what_is_there(right, dy, *rest, out):
    before = out.copy()
    right(dy, *rest, out=out)
    out += before


# ------------------------------------------------------------ dense
@wrong("matmul")
def a_transposed_if_square(right, a, b, *, out, transpose_a, transpose_b):
    flip = a.shape[0] == a.shape[1]
    right(a, b, out=out, transpose_a=transpose_a ^ flip, transpose_b=transpose_b)


@wrong("matmul")
def weights_transposed_if_square(right, a, b, *, out, transpose_a, transpose_b):
    flip = b.shape[0] == b.shape[1]
    right(a, b, out=out, transpose_a=transpose_a, transpose_b=transpose_b ^ flip)


@wrong("matmul")
def product_transposed_if_square(right, a, b, *, out, **options):
    right(a, b, out=out, **options)
    if out.shape[0] == out.shape[1]:
        out[...] = out.T.copy()


@wrong("matmul")
def rows_rolled(right, a, b, *, out, **options):
    right(np.roll(a, 1, axis=0), b, out=out, **options)


@wrong("matmul")
def one_term_of_the_sum_dropped(right, a, b, *, out, transpose_a, **options):
    a = a.copy()
    a[(-1, ...) if transpose_a else (..., -1)] = 0
    right(a, b, out=out, transpose_a=transpose_a, **options)


# ------------------------------------------------------------ activations
def with_derivative(activation, derivative):
    """A wrong f' for one activation: derivative(y, slope)."""

    def backward(right, dy, y, name, slope, *, dx, db):
        if name == activation:
            dy, name = dy * derivative(y, slope), "identity"
        right(dy, y, name, slope, dx=dx, db=db)

    backward.__name__ = f"derivative_of_{activation}"
    return wrong("bias_activation_backward")(backward)


with_derivative("relu", lambda y, slope: np.ones_like(y))
with_derivative("leaky_relu", lambda y, slope: 1.0 * (y > 0))
with_derivative("leaky_relu", lambda y, slope: np.where(y < 0, 1, slope).astype(y.dtype))
with_derivative("elu", lambda y, slope: np.where(y > 0, 1, y).astype(y.dtype))
with_derivative("elu", lambda y, slope: np.where(y > 0, 1, slope).astype(y.dtype))
with_derivative("sigmoid", lambda y, slope: 1 - y)
with_derivative("sigmoid", lambda y, slope: np.exp(-y) / (1 + np.exp(-y)) ** 2)  # σ' of y, not of x
with_derivative("tanh", lambda y, slope: 1 - y)
with_derivative("tanh", lambda y, slope: 1 - np.tanh(y) ** 2)
with_derivative("softplus", lambda y, slope: np.exp(-y))
with_derivative("softplus", lambda y, slope: 1 / (1 + np.exp(-y)))


@wrong("bias_activation_backward")
def bias_gradient_missing(right, dy, y, activation, slope, *, dx, db):
    right(dy, y, activation, slope, dx=dx, db=None)
    if db is not None:
        db.fill(0)


@wrong("bias_activation_backward")
def bias_gradient_a_mean(right, dy, y, activation, slope, *, dx, db):
    right(dy, y, activation, slope, dx=dx, db=db)
    if db is not None:
        db /= dx.size // db.size


@wrong("bias_activation_backward")
def bias_gradient_of_the_upstream(right, dy, y, activation, slope, *, dx, db):
    if db is not None:
        right(dy, y, "identity", slope, dx=np.empty_like(dx), db=db)
    right(dy, y, activation, slope, dx=dx, db=None)


@wrong("bias_activation_backward")
def one_bias_a_sample_summed_over_samples(right, dy, y, activation, slope, *, dx, db):
    right(dy, y, activation, slope, dx=dx, db=db)
    if db is not None and db.ndim == 2:
        db[...] = db.sum(axis=0)


@wrong("bias_activation_backward")
def upstream_ignored(right, dy, y, activation, slope, *, dx, db):
    right(np.ones_like(dy), y, activation, slope, dx=dx, db=db)


@wrong("bias_activation_forward")
def bias_along_the_wrong_axis_if_square(right, x, b, activation, slope, *, out):
    if b is not None and b.ndim == 1 and x.ndim == 2 and len(x) == len(b):
        x, b = x + b[:, None], None
    right(x, b, activation, slope, out=out)


# ------------------------------------------------------------ conv2d
@wrong("conv2d_forward", "conv2d_input_gradient")
def kernel_flipped(right, x, w, *geometry, out):
    right(x, w[:, :, ::-1, ::-1], *geometry, out=out)


@wrong("conv2d_forward", "conv2d_input_gradient")
def kernel_transposed_if_square(right, x, w, *geometry, out):
    w = w.swapaxes(2, 3) if w.shape[2] == w.shape[3] else w
    right(x, w, *geometry, out=out)


@wrong("conv2d_forward", "conv2d_input_gradient")
def channels_swapped_if_equal(right, x, w, stride, padding, dilation, groups, *, out):
    if groups == 1 and w.shape[0] == w.shape[1]:
        w = w.swapaxes(0, 1)
    right(x, w, stride, padding, dilation, groups, out=out)


@wrong("conv2d_forward", "conv2d_input_gradient")
def groups_rotated(right, x, w, stride, padding, dilation, groups, *, out):
    right(x, np.roll(w, len(w) // groups, axis=0), stride, padding, dilation, groups, out=out)


def with_geometry(change):
    """A wrong conv2d_input_gradient with the geometry that `change` makes of the right one. What
    that writes beyond the image is cut off."""

    def gradient(right, dy, w, stride, padding, dilation, groups, *, out):
        stride, padding, dilation = change(stride, padding, dilation)
        reach = [
            max(size, (o - 1) * s + d * (k - 1) + 1 - 2 * p)
            for size, o, k, s, p, d in zip(
                out.shape[2:], dy.shape[2:], w.shape[2:], stride, padding, dilation, strict=True
            )
        ]
        canvas = np.empty((*out.shape[:2], *reach), out.dtype)
        right(dy, w, stride, padding, dilation, groups, out=canvas)
        out[...] = canvas[:, :, : out.shape[2], : out.shape[3]]

    gradient.__name__ = change.__name__
    return wrong("conv2d_input_gradient")(gradient)


@with_geometry
def stride_ignored(stride, padding, dilation):
    return (1, 1), padding, dilation


@with_geometry
def height_and_width_of_the_stride_swapped(stride, padding, dilation):
    return stride[::-1], padding, dilation


@with_geometry
def padding_ignored(stride, padding, dilation):
    return stride, (0, 0), dilation


@with_geometry
def dilation_ignored(stride, padding, dilation):
    return stride, padding, (1, 1)


@wrong("conv2d_input_gradient")
def rows_that_no_window_reads_left_alone(right, dy, w, *geometry, out):
    before = out.copy()
    right(dy, w, *geometry, out=out)
    read = np.empty_like(out)
    right(np.ones_like(dy), np.ones_like(w), *geometry, out=read)
    out[read == 0] = before[read == 0]


@wrong("conv2d_weight_gradient")
def gradient_flipped(right, x, dy, *geometry, out):
    right(x, dy, *geometry, out=out)
    out[...] = out[:, :, ::-1, ::-1].copy()


@wrong("conv2d_weight_gradient")
def mean_over_positions(right, x, dy, *geometry, out):
    right(x, dy, *geometry, out=out)
    out /= dy.shape[2] * dy.shape[3]


@wrong("conv2d_weight_gradient")
def of_the_first_sample_alone(right, x, dy, *geometry, out):
    right(x[:1], dy[:1], *geometry, out=out)


@wrong("conv2d_weight_gradient")
def of_a_flipped_upstream(right, x, dy, *geometry, out):
    right(x, dy[:, :, ::-1, ::-1], *geometry, out=out)


@wrong("conv2d_weight_gradient")
def samples_mixed_up(right, x, dy, *geometry, out):
    right(np.roll(x, 1, axis=0), dy, *geometry, out=out)


@wrong("conv2d_weight_gradient")
def border_dropped(right, x, dy, *geometry, out):
    dy = dy.copy()
    dy[:, :, -1] = 0
    right(x, dy, *geometry, out=out)


# ------------------------------------------------------------ class_bias, pooling, dropout
@wrong("class_bias_backward")
def spread_evenly_over_the_kernel(right, dtable, *, out):
    right(dtable / (out.shape[2] * out.shape[3]), out=out)


@wrong("class_bias_backward")
def into_the_middle_of_the_kernel(right, dtable, *, out):
    out.fill(0)
    out[:, :, out.shape[2] // 2, out.shape[3] // 2] = dtable


@wrong("max_pool2d_backward")
def to_the_wrong_winner(right, dy, argmax, kernel, stride, padding, *, out):
    right(dy, (argmax + 1) % (kernel[0] * kernel[1]), kernel, stride, padding, out=out)


@wrong("max_pool2d_backward")
def winner_read_column_by_column(right, dy, argmax, kernel, stride, padding, *, out):
    b, a = np.divmod(argmax, kernel[0])
    right(dy, a * kernel[1] + b, kernel, stride, padding, out=out)


@wrong("max_pool2d_backward")
def overlapping_windows_overwrite(right, dy, argmax, kernel, stride, padding, *, out):
    right(dy, argmax, kernel, stride, padding, out=out)
    for n, c, i, j in np.ndindex(dy.shape):
        a, b = divmod(int(argmax[n, c, i, j]), kernel[1])
        out[n, c, i * stride[0] - padding[0] + a, j * stride[1] - padding[1] + b] = dy[n, c, i, j]


@wrong("max_pool2d_forward")
def last_winner_on_ties(right, x, kernel, stride, padding, *, out, argmax):
    right(x, kernel, stride, padding, out=out, argmax=argmax)
    (KH, KW), (SH, SW), (PH, PW) = kernel, stride, padding
    for n, c, i, j in np.ndindex(out.shape):
        for a, b in np.ndindex(KH, KW):
            h, w = i * SH - PH + a, j * SW - PW + b
            inside = 0 <= h < x.shape[2] and 0 <= w < x.shape[3]
            if inside and x[n, c, h, w] == out[n, c, i, j]:
                argmax[n, c, i, j] = a * KW + b


@wrong("max_pool2d_forward")
def padding_counts_as_zero(right, x, kernel, stride, padding, *, out, argmax):
    right(x, kernel, stride, padding, out=out, argmax=argmax)
    for axis in (2, 3):
        if padding[axis - 2]:
            first = (slice(None),) * axis + (0,)
            out[first] = np.maximum(out[first], 0)


@wrong("avg_pool2d_backward")
def sum_instead_of_mean(right, dy, kernel, *rest, out):
    right(dy, kernel, *rest, out=out)
    out *= kernel[0] * kernel[1]


@wrong("avg_pool2d_backward", "avg_pool2d_forward")
def mean_over_what_is_not_padding(right, x, kernel, stride, padding, *, out):
    image, windows = (x, out) if right.__name__ == "avg_pool2d_forward" else (out, x)
    share = np.empty(windows.shape, x.dtype)
    NUMPY.avg_pool2d_forward(np.ones(image.shape, x.dtype), kernel, stride, padding, out=share)
    if windows is x:
        right(x / share, kernel, stride, padding, out=out)
    else:
        right(x, kernel, stride, padding, out=out)
        out /= share


@wrong("upsample2d_backward")
def mean_instead_of_sum(right, dy, scale, *, out):
    right(dy / (scale[0] * scale[1]), scale, out=out)


@wrong("upsample2d_backward")
def first_of_each_block(right, dy, scale, *, out):
    out[...] = dy[:, :, :: scale[0], :: scale[1]]


@wrong("dropout_backward", "dropout_forward")
def not_divided_by_keep(right, x, mask, keep, *, out):
    right(x, mask, 1.0, out=out)


@wrong("dropout_backward", "dropout_forward")
def mask_ignored(right, x, mask, keep, *, out):
    right(x, np.ones_like(mask), keep, out=out)


# ------------------------------------------------------------ batch_norm
def batch_norm_parts(dy, x, gamma, mean, inv_std):
    """x̂, gamma inv_std and the sums over all but the channels."""
    axes = (0, *range(2, x.ndim))
    x_hat = (x - over_pixels(mean, x)) * over_pixels(inv_std, x)
    dgamma, dbeta = (dy * x_hat).sum(axis=axes), dy.sum(axis=axes)
    M = x.size // x.shape[1]
    of_variance = x_hat * over_pixels(dgamma, x) / M
    return over_pixels(gamma * inv_std, x), over_pixels(dbeta, x) / M, of_variance


@wrong("batch_norm_backward")
def without_the_variance_term(right, dy, x, *channels, dx, **gradients):
    right(dy, x, *channels, dx=dx, **gradients)
    factor, of_mean, _ = batch_norm_parts(dy, x, *channels)
    dx[...] = factor * (dy - of_mean)


@wrong("batch_norm_backward")
def without_the_mean_term(right, dy, x, *channels, dx, **gradients):
    right(dy, x, *channels, dx=dx, **gradients)
    factor, _, of_variance = batch_norm_parts(dy, x, *channels)
    dx[...] = factor * (dy - of_variance)


@wrong("batch_norm_backward")
def that_of_inference(right, dy, x, *channels, dx, **gradients):
    right(dy, x, *channels, dx=dx, **gradients)
    dx[...] = batch_norm_parts(dy, x, *channels)[0] * dy


@wrong("batch_norm_backward")
def variance_term_unbiased(right, dy, x, *channels, dx, **gradients):
    right(dy, x, *channels, dx=dx, **gradients)
    factor, of_mean, of_variance = batch_norm_parts(dy, x, *channels)
    M = x.size // x.shape[1]
    dx[...] = factor * (dy - of_mean - of_variance * M / (M - 1))


@wrong("batch_norm_backward")
def without_gamma(right, dy, x, gamma, mean, inv_std, **gradients):
    right(dy, x, np.ones_like(gamma), mean, inv_std, **gradients)


@wrong("batch_norm_backward")
def dgamma_without_inv_std(right, dy, x, gamma, mean, inv_std, *, dgamma, **gradients):
    right(dy, x, gamma, mean, inv_std, dgamma=dgamma, **gradients)
    dgamma /= inv_std


@wrong("batch_norm_backward")
def dgamma_and_dbeta_exchanged(right, *arguments, dx, dgamma, dbeta):
    right(*arguments, dx=dx, dgamma=dbeta, dbeta=dgamma)


@wrong("batch_norm_backward")
def samples_of_the_upstream_rolled(right, dy, *rest, **gradients):
    right(np.roll(dy, 1, axis=0), *rest, **gradients)


@wrong("batch_norm_forward")
def running_variance_biased(right, x, gamma, beta, rm, rv, momentum, eps, **outputs):
    before, M = rv.copy(), x.size // x.shape[1]
    right(x, gamma, beta, rm, rv, momentum, eps, **outputs)
    rv[...] = (1 - momentum) * before + (rv - (1 - momentum) * before) * (M - 1) / M


@wrong("batch_norm_forward")
def momentum_the_other_way(right, x, gamma, beta, rm, rv, momentum, eps, **outputs):
    right(x, gamma, beta, rm, rv, 1 - momentum, eps, **outputs)


@wrong("batch_norm_forward", "batch_norm_inference")
def eps_forgotten(right, *arguments, **outputs):
    right(*arguments[:-1], 0.0, **outputs)


# ------------------------------------------------------------ losses
LOSSES = ("bce_with_logits", "bce", "mse", "l1")


@wrong(*LOSSES, "softmax_cross_entropy")
def gradient_of_the_sum(right, y, t, scale, *, value, **gradient):
    """The value is scaled, its gradient is not: sum instead of mean."""
    right(y, t, 1.0, value=value, **gradient)
    value *= scale


@wrong(*LOSSES, "softmax_cross_entropy")
def value_of_the_sum(right, y, t, scale, *, value, **gradient):
    right(y, t, scale, value=value, **gradient)
    value /= scale


@wrong(*LOSSES, "softmax_cross_entropy")
def sign_of_the_gradient(right, *arguments, value, **gradient):
    right(*arguments, value=value, **gradient)
    for g in gradient.values():
        if g is not None:
            np.negative(g, out=g)


@wrong(*LOSSES)
def target_and_prediction_exchanged(right, y, t, scale, *, value, **gradient):
    right(t, y, scale, value=value, **gradient)


@wrong("bce_with_logits")
def sigmoid_differentiated_twice(right, logits, t, scale, *, value, dlogits):
    p = 1 / (1 + np.exp(-logits))
    right(logits, t, scale, value=value, dlogits=dlogits)
    if dlogits is not None:
        dlogits *= p * (1 - p)


@wrong("bce_with_logits")
def logits_taken_for_probabilities(right, logits, t, scale, *, value, dlogits):
    difference = scale * (logits - t)
    right(logits, t, scale, value=value, dlogits=dlogits)
    if dlogits is not None:
        dlogits[...] = difference


@wrong("bce")
def denominator_dropped(right, p, t, scale, *, value, dp):
    right(p, t, scale, value=value, dp=dp)
    if dp is not None:
        dp *= p * (1 - p)


@wrong("mse")
def without_the_2(right, y, t, scale, *, value, dy):
    right(y, t, scale, value=value, dy=dy)
    if dy is not None:
        dy /= 2


@wrong("l1")
def gradient_that_of_mse(right, y, t, scale, *, value, dy):
    right(y, t, scale, value=value, dy=dy)
    if dy is not None:
        dy[...] = 2 * scale * (y - t)


@wrong("l1")
def sign_of_zero_is_one(right, y, t, scale, *, value, dy):
    right(y, t, scale, value=value, dy=dy)
    if dy is not None:
        dy[y == t] = scale


@wrong("softmax_cross_entropy")
def one_hot_forgotten(right, logits, labels, scale, *, value, dlogits):
    right(logits, labels, scale, value=value, dlogits=dlogits)
    if dlogits is not None:
        dlogits[np.arange(len(labels)), labels] += scale


@wrong("softmax_cross_entropy")
def label_off_by_one(right, logits, labels, scale, **outputs):
    right(logits, (labels + 1) % logits.shape[1], scale, **outputs)


@wrong("softmax_cross_entropy")
def jacobian_of_the_softmax_only(right, logits, labels, scale, *, value, dlogits):
    """The gradient multiplied by p (1 - p) once more."""
    right(logits, labels, scale, value=value, dlogits=dlogits)
    if dlogits is not None:
        p = dlogits / scale
        p[np.arange(len(labels)), labels] += 1
        dlogits *= p * (1 - p)


# ------------------------------------------------------------ mixed_loss
@wrong("mixed_loss")
def gradient_of_the_mixed_sum(right, y, t, numeric, groups, scale, *, value, dy):
    right(y, t, numeric, groups, 1.0, value=value, dy=dy)
    value *= scale


@wrong("mixed_loss")
def square_without_its_half(right, y, t, numeric, groups, scale, *, value, dy):
    right(y, t, numeric, groups, scale, value=value, dy=dy)
    value += 0.5 * scale * ((y - t)[:, :numeric] ** 2).sum()
    if dy is not None:
        dy[:, :numeric] *= 2


@wrong("mixed_loss")
def groups_taken_for_one(right, y, t, numeric, groups, scale, **outputs):
    right(y, t, numeric, (sum(groups),) if groups else (), scale, **outputs)


@wrong("mixed_loss")
def first_number_taken_for_a_word(right, y, t, numeric, groups, scale, **outputs):
    if numeric and groups:
        numeric, groups = numeric - 1, (groups[0] + 1, *groups[1:])
    right(y, t, numeric, groups, scale, **outputs)


@wrong("mixed_loss")
def targets_taken_to_sum_to_one(right, y, t, numeric, groups, scale, *, value, dy):
    """scale (softmax - t): right for one-hot targets only."""
    right(y, t, numeric, groups, scale, value=value, dy=dy)
    start = numeric
    for size in groups:
        g, start = slice(start, start + size), start + size
        if dy is not None:
            T = t[:, g].sum(axis=1, keepdims=True)
            dy[:, g] = (dy[:, g] + scale * t[:, g]) / T - scale * t[:, g]


@wrong("mixed_loss")
def softmax_over_places(right, y, t, numeric, groups, scale, *, value, dy):
    """The places of a sample are taken for samples, and their gradients summed alike."""
    right(y, t, numeric, groups, scale, value=value, dy=dy)
    if dy is not None:
        dy[:, numeric:] = np.roll(dy[:, numeric:], 1, axis=2)


@wrong("mixed_loss")
def mixed_targets_swapped(right, y, t, numeric, groups, scale, **outputs):
    right(y, np.roll(t, 1, axis=1), numeric, groups, scale, **outputs)


@wrong("mixed_output")
def softmax_of_all_groups_together(right, y, numeric, groups, *, out):
    right(y, numeric, (sum(groups),) if groups else (), out=out)


@wrong("mixed_output")
def numbers_through_the_softmax(right, y, numeric, groups, *, out):
    right(y, 0, (numeric, *groups) if numeric else groups, out=out)


# ------------------------------------------------------------ sparse
SPARSE = ("sparse_matmul", "sparse_weight_gradient")


@wrong(*SPARSE)
def first_rows_for_all(right, strips, rows, *rest, out):
    right(strips, np.arange(len(rows)) % len(strips), *rest, out=out)


@wrong(*SPARSE)
def all_strips(right, strips, *rest, out):
    right(np.full_like(strips, 2**64 - 1), *rest, out=out)


@wrong(*SPARSE)
def last_strip_forgotten(right, strips, rows, x, *rest, out):
    last = (x.shape[1] - 1) // 8
    strips = strips.copy()
    strips[:, last // 64] &= ~np.uint64(1 << last % 64)
    right(strips, rows, x, *rest, out=out)


@wrong(*SPARSE)
def strips_off_by_one(right, strips, *rest, out):
    right(strips << np.uint64(1) | strips >> np.uint64(63), *rest, out=out)


@wrong(*SPARSE)
def words_the_wrong_way_round(right, strips, *rest, out):
    right(strips[:, ::-1], *rest, out=out)


@wrong("sparse_weight_gradient")
def upstream_of_the_sample_before(right, strips, rows, x, dy, *, out):
    right(strips, rows, x, np.roll(dy, 1, axis=0), out=out)


# ------------------------------------------------------------ gaussian_kl, reparameterization
def with_kl_gradients(function):
    """A wrong gaussian_kl whose gradients `function` writes over the right ones."""

    def kl(right, mean, log_var, scale, *, value, dmean, dlog_var):
        right(mean, log_var, scale, value=value, dmean=dmean, dlog_var=dlog_var)
        if dmean is not None:
            function(mean, log_var, scale, dmean, dlog_var)

    kl.__name__ = function.__name__
    return wrong("gaussian_kl")(kl)


@with_kl_gradients
def dlog_var_without_the_half(mean, log_var, scale, dmean, dlog_var):
    dlog_var *= 2


@with_kl_gradients
def dmean_with_a_half(mean, log_var, scale, dmean, dlog_var):
    dmean /= 2


@with_kl_gradients
def dlog_var_without_the_1(mean, log_var, scale, dmean, dlog_var):
    dlog_var[...] = 0.5 * scale * np.exp(log_var)


@with_kl_gradients
def dlog_var_in_terms_of_sigma(mean, log_var, scale, dmean, dlog_var):
    dlog_var[...] = 0.5 * scale * (np.exp(log_var / 2) - 1)


@with_kl_gradients
def gradients_not_scaled(mean, log_var, scale, dmean, dlog_var):
    dmean /= scale
    dlog_var /= scale


@wrong("gaussian_kl")
def value_without_the_half(right, *arguments, value, **gradients):
    right(*arguments, value=value, **gradients)
    value *= 2


@wrong("gaussian_kl")
def divergence_the_other_way(right, mean, log_var, scale, *, value, **gradients):
    right(mean, log_var, scale, value=value, **gradients)
    precision = np.exp(-log_var.astype(np.float64))
    value[0] = 0.5 * scale * np.sum(precision * (1 + mean**2) - 1 + log_var)


@wrong("reparameterize_forward")
def exp_of_the_whole_log_var(right, mean, log_var, eps, *, out):
    right(mean, 2 * log_var, eps, out=out)


@wrong("reparameterize_backward")
def dlog_var_with_exp_of_the_whole_log_var(right, dz, log_var, eps, **keywords):
    right(dz, 2 * log_var, eps, **keywords)


@wrong("reparameterize_backward")
def reparameterization_without_the_half(right, dz, log_var, eps, *, dlog_var, **keywords):
    before = dlog_var.copy() if keywords["accumulate"] else 0
    right(dz, log_var, eps, dlog_var=dlog_var, **keywords)
    dlog_var[...] = 2 * dlog_var - before


@wrong("reparameterize_backward")
def eps_dropped(right, dz, log_var, eps, **keywords):
    right(dz, log_var, np.ones_like(eps), **keywords)


@wrong("reparameterize_backward")
def eps_of_another_sample(right, dz, log_var, eps, **keywords):
    right(dz, log_var, np.roll(eps, 1, axis=0), **keywords)


@wrong("reparameterize_backward")
def accumulation_forgotten(right, *arguments, accumulate, **outputs):
    right(*arguments, **outputs)


@wrong("reparameterize_backward")
def always_accumulated(right, *arguments, accumulate, **outputs):
    right(*arguments, **outputs, accumulate=True)


# ------------------------------------------------------------ contractive
def first_derivative(y, activation, slope):
    out = np.empty_like(y)
    NUMPY.bias_activation_backward(np.ones_like(y), y, activation, slope, dx=out, db=None)
    return out


@wrong("bias_activation_double_backward")
def second_derivative_by_the_input(right, dv, u, y, activation, slope, **keywords):
    """f'' = f'_y f' in place of f'_y."""
    right(dv * first_derivative(y, activation, slope), u, y, activation, slope, **keywords)


@wrong("bias_activation_double_backward")
def first_derivative_again(right, dv, u, y, activation, slope, *, dy, accumulate):
    before = dy.copy() if accumulate else 0
    dy[...] = before + dv * u * first_derivative(y, activation, slope)


@wrong("bias_activation_double_backward")
def what_came_from_above_ignored(right, dv, u, *rest, **keywords):
    right(dv, np.ones_like(u), *rest, **keywords)


@wrong("bias_activation_double_backward")
def upstream_of_the_upstream_ignored(right, dv, u, *rest, **keywords):
    right(np.ones_like(dv), u, *rest, **keywords)


@wrong("bias_activation_double_backward")
def never_accumulated(right, *arguments, dy, accumulate):
    right(*arguments, dy=dy)


@wrong("bias_activation_double_backward")
def elu_without_a_second_derivative(right, dv, u, y, activation, slope, **keywords):
    activation = "identity" if activation == "elu" else activation
    right(dv, u, y, activation, slope, **keywords)


def with_penalty_gradients(function):
    """A wrong contractive_penalty whose gradients `function` writes over the right ones."""

    def penalty(right, y, w, activation, slope, scale, *, value, dy, dw):
        right(y, w, activation, slope, scale, value=value, dy=dy, dw=dw)
        if dy is not None:
            function(y, w, first_derivative(y, activation, slope), dy, dw)

    penalty.__name__ = function.__name__
    return wrong("contractive_penalty")(penalty)


@with_penalty_gradients
def dw_without_the_2(y, w, derivative, dy, dw):
    dw /= 2


@with_penalty_gradients
def dw_that_of_weight_decay(y, w, derivative, dy, dw):
    dw[...] = 2 * len(y) * w


@with_penalty_gradients
def dw_of_the_first_sample(y, w, derivative, dy, dw):
    dw *= (derivative[0] ** 2 / np.maximum(np.sum(derivative**2, axis=0), 1e-30))[:, None]


@with_penalty_gradients
def dy_times_f_prime(y, w, derivative, dy, dw):
    dy *= derivative


@with_penalty_gradients
def dy_missing(y, w, derivative, dy, dw):
    dy.fill(0)


@wrong("contractive_penalty")
def norms_not_squared(right, y, w, activation, slope, scale, *, value, dy, dw):
    right(y, w, activation, slope, scale, value=value, dy=dy, dw=dw)
    derivative = first_derivative(y, activation, slope)
    value[0] = scale * np.sum(derivative**2 * np.linalg.norm(w, axis=1))


@wrong("contractive_penalty")
def derivative_not_squared(right, y, w, activation, slope, scale, *, value, dy, dw):
    right(y, w, activation, slope, scale, value=value, dy=dy, dw=dw)
    derivative = first_derivative(y, activation, slope)
    value[0] = scale * np.sum(derivative * np.sum(w * w, axis=1))


# ------------------------------------------------------------ iwae
@wrong("importance_weights_forward")
def prior_left_out(right, logits, t, z, eps, log_var, *, out):
    right(logits, t, np.zeros_like(z), eps, log_var, out=out)


@wrong("importance_weights_forward")
def posterior_left_out(right, logits, t, z, eps, log_var, *, out):
    right(logits, t, z, np.zeros_like(eps), np.zeros_like(log_var), out=out)


@wrong("importance_weights_forward")
def log_sigma_for_log_variance(right, logits, t, z, eps, log_var, *, out):
    right(logits, t, z, eps, 2 * log_var, out=out)


@wrong("importance_weights_forward")
def sign_of_the_weights(right, *arguments, out):
    right(*arguments, out=out)
    np.negative(out, out=out)


@wrong("importance_weights_forward")
def draws_of_another_sample(right, logits, t, z, eps, log_var, *, out):
    right(logits, t, np.roll(z, 1, axis=1), np.roll(eps, 1, axis=1), log_var, out=out)


@wrong("importance_weights_backward")
def weights_ignored(right, weights, *rest, **outputs):
    right(np.ones_like(weights), *rest, **outputs)


@wrong("importance_weights_backward")
def weights_averaged_over_the_draws(right, weights, *rest, **outputs):
    right(np.broadcast_to(weights.mean(axis=0), weights.shape), *rest, **outputs)


@wrong("importance_weights_backward")
def gradient_of_the_prior_forgotten(right, *arguments, dlogits, dz):
    right(*arguments, dlogits=dlogits, dz=dz)
    dz.fill(0)


@wrong("importance_weights_backward")
def target_forgotten(right, weights, logits, t, z, **outputs):
    right(weights, logits, np.zeros_like(t), z, **outputs)


@wrong("importance_bound")
def mean_of_the_logarithms(right, log_w, scale, *, value, weights):
    right(log_w, scale, value=value, weights=weights)
    value[0] = -scale * np.sum(log_w.mean(axis=0))


@wrong("importance_bound")
def number_of_draws_not_divided_by(right, log_w, scale, *, value, weights):
    right(log_w, scale, value=value, weights=weights)
    value -= scale * log_w.shape[1] * np.log(len(log_w))


@wrong("importance_bound")
def weights_not_normalized(right, log_w, scale, *, value, weights):
    right(log_w, scale, value=value, weights=weights)
    if weights is not None:
        weights[...] = scale * np.exp(log_w - log_w.max(axis=0))


@wrong("importance_bound")
def normalized_over_the_samples(right, log_w, scale, *, value, weights):
    right(log_w, scale, value=value, weights=weights)
    if weights is not None:
        shares = np.exp(log_w - log_w.max(axis=1, keepdims=True))
        weights[...] = scale * shares / shares.sum(axis=1, keepdims=True)


@wrong("importance_bound")
def weights_not_scaled(right, log_w, scale, *, value, weights):
    right(log_w, scale, value=value, weights=weights)
    if weights is not None:
        weights /= scale


@wrong("binarize")
def ink_where_there_is_none(right, x, u, *, out):
    right(u, x, out=out)


@wrong("argsort")
def second_words_left_out(right, keys, *, out):
    out[...] = np.argsort(keys[:, 0], kind="stable")


@wrong("argsort")
def ties_the_other_way(right, keys, *, out):
    right(keys[::-1], out=out)
    out[...] = len(keys) - 1 - out


# ------------------------------------------------------------ optimizers
@wrong("sgd")
def uphill(right, w, dw, velocity, lr, *rest):
    right(w, dw, velocity, -lr, *rest)


@wrong("sgd")
def nesterov_ignored(right, *arguments):
    right(*arguments[:-1], False)


@wrong("sgd")
def momentum_ignored(right, w, dw, velocity, lr, momentum, *rest):
    right(w, dw, velocity, lr, 0.0, *rest)


@wrong("sgd")
def dampened(right, w, dw, velocity, lr, momentum, *rest):
    """(1 - momentum) g joins the velocity, as in Adam."""
    right(w, (1 - momentum) * dw, velocity, lr, momentum, *rest)


@wrong("sgd")
def weight_decay_grows(right, w, dw, velocity, lr, momentum, weight_decay, nesterov):
    right(w, dw, velocity, lr, momentum, -weight_decay, nesterov)


@wrong("adam", "adamw")
def without_bias_correction(right, w, dw, m, v, step, lr, *rest):
    right(w, dw, m, v, np.array([10**6]), lr, *rest)


@wrong("adam", "adamw")
def step_off_by_one(right, w, dw, m, v, step, *rest):
    right(w, dw, m, v, step + 1, *rest)


@wrong("adam", "adamw")
def betas_exchanged(right, w, dw, m, v, step, lr, beta1, beta2, *rest):
    right(w, dw, m, v, step, lr, beta2, beta1, *rest)


@wrong("adam", "adamw", "rmsprop")
def weight_decay_ignored(right, *arguments):
    right(*arguments[:-1], 0.0)


@wrong("adam", "adamw")
def eps_beside_the_uncorrected_root(right, w, dw, m, v, step, lr, beta1, beta2, eps, decay):
    correction = np.sqrt(1 - beta2 ** (int(step[0]) + 1))
    right(w, dw, m, v, step, lr, beta1, beta2, eps / correction, decay)


@wrong("adam")
def decay_decoupled(right, *arguments):
    NUMPY.adamw(*arguments)


@wrong("adamw")
def decay_coupled(right, *arguments):
    NUMPY.adam(*arguments)


@wrong("adamw")
def decay_not_times_lr(right, w, dw, m, v, step, lr, *rest):
    right(w, dw, m, v, step, lr, *rest[:-1], rest[-1] / lr[0])


@wrong("rmsprop")
def eps_inside_the_root(right, w, dw, v, lr, alpha, eps, decay):
    before, g = w.copy(), dw + decay * w
    right(w, dw, v, lr, alpha, eps, decay)
    w[...] = before - lr[0] * g / np.sqrt(v + eps)


@wrong("rmsprop")
def average_from_before_the_step(right, w, dw, v, lr, alpha, eps, decay):
    before, g, old = w.copy(), dw + decay * w, v.copy()
    right(w, dw, v, lr, alpha, eps, decay)
    w[...] = before - lr[0] * g / (np.sqrt(old) + eps)


@wrong("clip_by_norm")
def always_rescaled(right, dw, max_norm, *, norm):
    right(dw, max_norm, norm=norm)
    dw *= max(1, max_norm / (norm[0] + 1e-6))


@wrong("clip_by_norm")
def each_element_clipped(right, dw, max_norm, *, norm):
    clipped = np.clip(dw, -max_norm / len(dw), max_norm / len(dw))
    right(dw, max_norm, norm=norm)
    dw[...] = clipped


@wrong("clip_by_norm")
def norm_after_clipping(right, dw, max_norm, *, norm):
    right(dw, max_norm, norm=norm)
    norm[0] = min(norm[0], max_norm)


@wrong("clip_by_norm")
def norm_squared(right, dw, max_norm, *, norm):
    right(dw, max_norm, norm=norm)
    norm **= 2


# ------------------------------------------------------------ the check
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # some divide by 0
@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize(
    ("operation", "mutation"),
    MUTATIONS,
    ids=[f"{operation}-{mutation.__name__}" for operation, mutation in MUTATIONS],
)
def test_mutation_is_caught(operation, mutation, dtype):
    right = getattr(NUMPY, operation)
    mutant = SimpleNamespace(**{operation: lambda *a, **k: mutation(right, *a, **k)})
    for seed in SEEDS:
        call = CASES[operation](Draw(dtype, seed))
        try:
            check(mutant, operation, call, dtype)
        except AssertionError as error:
            assert "against" in str(error)  # a judge
            check(NUMPY, operation, call, dtype)
            return
    pytest.fail(f"no call of {operation} shows that {mutation.__name__} is wrong")


def writes_to_its_input(x, scale, *, out):
    NUMPY.upsample2d_forward(x, scale, out=out)
    x[...] = 0


def writes_beyond_its_output(x, scale, *, out):
    NUMPY.upsample2d_forward(x, scale, out=out)
    out.base[0] = 0


def returns_its_output(x, scale, *, out):
    NUMPY.upsample2d_forward(x, scale, out=out)
    return out


def takes_its_input_for_contiguous(x, scale, *, out):
    x = np.ndarray(x.shape, x.dtype, x.base if x.base is not None else x)
    NUMPY.upsample2d_forward(x, scale, out=out)


def leaves_the_last_element_unwritten(x, scale, *, out):
    last = out.flat[-1]
    NUMPY.upsample2d_forward(x, scale, out=out)
    out.flat[-1] = last


@pytest.mark.parametrize(
    ("operation", "complaint"),
    [
        (writes_to_its_input, "wrote to x"),
        (writes_beyond_its_output, "wrote to out"),
        (returns_its_output, "returned"),
        (takes_its_input_for_contiguous, "against the reference"),
        (leaves_the_last_element_unwritten, "found nan"),
    ],
)
def test_bad_manners_are_caught(operation, complaint):
    mutant = SimpleNamespace(upsample2d_forward=operation)
    with pytest.raises(AssertionError, match=complaint):
        for seed in SEEDS:
            call = CASES["upsample2d_forward"](Draw(np.float32, seed))
            check(mutant, "upsample2d_forward", call, np.float32)


def test_there_are_mutations_of_every_operation_with_a_derivative():
    mutated = {operation for operation, _ in MUTATIONS}
    optimizers = {"sgd", "adam", "adamw", "rmsprop", "clip_by_norm"}
    losses = {*LOSSES, "softmax_cross_entropy", "mixed_loss", "gaussian_kl", "contractive_penalty"}
    losses |= {"importance_weights_forward", "importance_bound"}
    backward = {n for n in OPERATIONS if n.endswith(("_backward", "_gradient"))}
    assert mutated >= optimizers | losses | backward | {"matmul"}
    assert len(MUTATIONS) >= 100
