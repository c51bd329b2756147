"""Kernels broken on purpose: each fault in kernels/ must be caught by the suite's own checks.

A test that cannot fail proves nothing. Each entry replaces a piece of a CUDA source; the kernels
are built anew, and the calls of test_operation, or of the test of the order of threads, must show
the fault, while the right kernels pass the very call that caught it.
"""

import importlib

import comparison
import gpu
import numpy as np
import pytest
from comparison import SEEDS, Draw, check
from cupy_on_host import State
from operations import CASES

from minae.backends.scratch import Scratch

pytestmark = [
    pytest.mark.skipif(gpu.problem() is not None, reason=str(gpu.problem())),
    pytest.mark.skipif(gpu.has_gpu(), reason="of the processor in place of a GPU"),
]

# operation, what stands in the source, what is put in its place (everywhere)
FAULTS = {
    "tile of a transposed": ("matmul", "matrix(a, 1, M)", "matrix(a, M, 1)"),
    "last term dropped": ("matmul", "min(Q, first + terms)", "min(Q - 1, first + terms)"),
    "beyond the last term": ("matmul", "m < M && q < last ? a.at", "m < M ? a.at"),
    "place in a large tile": (
        "matmul",
        "(i / 4) * 64 + t * 4 + i % 4",
        "(i / 4) * 32 + t * 4 + i % 4",
    ),
    "parts left out": ("matmul", "s = 1; s < splits", "s = 2; s < splits"),
    "no barrier before the tile": (
        "matmul",
        "__syncthreads();  // all have used",
        "// all have used",
    ),
    "no barrier after the tile": ("matmul", "__syncthreads();  // the tiles", "// the tiles"),
    "no barrier in a sum": ("mse", "half];\n        __syncthreads();", "half];"),
    "no barrier before a sum": (
        "mse",
        "sums[t] = value;\n    __syncthreads();",
        "sums[t] = value;",
    ),
    "bias of the wrong axis": (
        "bias_activation_forward",
        "b[channel % K]",
        "b[min(i % L, K - 1)]",
    ),
    "derivative of elu": ("bias_activation_backward", "y + slope", "slope"),
    "places of a narrow image": ("bias_activation_backward", "[row][x + l]", "[row][x]"),
    "channels of a block": ("bias_activation_backward", "channels = 32 / L", "channels = 1"),
    "chunk of samples": ("bias_activation_backward", "first = blockIdx.y * samples", "first = 0"),
    "last chunks left out": ("bias_activation_backward", "c < chunks; c += 8", "c < 1; c += 8"),
    "not the last block": ("mse", "== blocks - 1", "== blocks - 2"),
    "a ticket that is kept": ("mse", "if (last) *ticket = 0;", ""),
    "most splits left out": ("conv2d_weight_gradient", "s = y; s < splits", "s = y; s < 8"),
    "padding": ("conv2d_forward", "r % L / OW * SH - PH", "r % L / OW * SH"),
    "groups": ("conv2d_forward", "w + g * k * c * taps", "w"),
    "phase": ("conv2d_input_gradient", "(phase - P) % S", "(phase + P) % S"),
    "first output of a phase": (
        "conv2d_input_gradient",
        "a0 = ta.first * DH / SH",
        "a0 = ta.first",
    ),
    "divisor rounded down": ("conv2d_forward", "+ d - 1) / d", ") / d"),
    "taps of a phase": ("conv2d_input_gradient", "t.step * D % S != 0", "t.step % S != 0"),
    "split of the pixels": ("conv2d_weight_gradient", "split * terms", "split * terms + split"),
    "ties of a maximum": ("max_pool2d_forward", "value > best", "value >= best"),
    "last windows": ("avg_pool2d_backward", "i >= OH", "i >= OH - 1"),
    "variance of the batch": ("batch_norm_forward", "/ (M - 1)", "/ M"),
    "term of the variance": ("batch_norm_backward", " - x_hat * (dgamma[c] / M)", ""),
    "both exponentials": ("bce_with_logits", "log1p(e)", "e"),
    "half": ("gaussian_kl", "scale * real(0.5) * e", "scale * e"),
    "rows of a half": ("gaussian_kl", "row * dlog_var_row", "row * Z"),
    "sum over one round of threads": (
        "softmax_cross_entropy",
        "c < classes; c += THREADS) sum",
        "c < 1; c += THREADS) sum",
    ),
    "label": ("softmax_cross_entropy", "(row[label] - top)", "row[label]"),
    "accumulation": ("reparameterize_backward", "*to_mean + dm : dm", "dm : dm"),
    "bias correction": ("adam", "step[0] + 1", "step[0] + 2"),
    "factors before they are there": ("adam", "__syncthreads();", ""),
    "decay": ("adamw", "w[i] *= real(1 - lr[0] * weight_decay);", ""),
    "momentum": ("sgd", "g + momentum * v : v", "v : v"),
    "norm in float32": ("clip_by_norm", "= sqrt(sum)", "= sum"),
    "index": ("gather", "indices[i / D] * D", "(i / D) * D"),
    "strips of the first samples": ("sparse_matmul", "rows[i / D]", "(i / D)"),
    "word of the first strips": ("sparse_weight_gradient", "words + s / 64", "words"),
    "weight of the words": ("mixed_loss", "weight += t[j]", "weight = 1"),
    "half of the squares": ("mixed_loss", "real(0.5) * e * e", "e * e"),
    "place in the sample": ("mixed_loss", "* C * L + i % L", "* C * L"),
    "words of another group": ("mixed_output", "first = ends[g - 1]", "first = ends[0]"),
    "numbers left out": ("mixed_output", "d < ends[0]", "d < ends[0] - 1"),
    "places apart": ("mixed_output", "(long long)d * L", "(long long)d"),
    "derivative of the derivative": ("bias_activation_double_backward", "-2 * y;", "-y;"),
    "slopes not squared": ("contractive_penalty", "return g * g;", "return g;"),
    "norm not squared": ("contractive_penalty", "row[d] * row[d]", "row[d]"),
    "gradient of a square": ("contractive_penalty", "2 * scale * w[i]", "scale * w[i]"),
    "sign of the codes": (
        "importance_weights_forward",
        "code * code - e * e",
        "code * code + e * e",
    ),
    "weights of the draw": ("importance_weights_backward", "weights[i / D]", "weights[0]"),
    "column of the draws": ("importance_bound", "[(long long)i * N + blockIdx.x]", "[i]"),
    "mean of the weights": ("importance_bound", "log(sum / k)", "log(sum)"),
    "begin of a bucket": ("argsort", "unsigned int place = begin;", "unsigned int place = 0;"),
    "ties by who came first": ("argsort", "other < row", "j < i"),
    "rest of a key": ("argsort", "b < rest ||", ""),
    "threshold": ("binarize", "u[i] < x[i]", "u[i] > x[i]"),
    "rounds": ("random_uint32", "round < 10", "round < 9"),
    "key": ("random_uint32", "k1 += 0xBB67AE85u", "k1 += 0xBB67AE84u"),
    "sine and cosine": ("random_normal", "cos(angle) : sin(angle)", "sin(angle) : cos(angle)"),
}


def caught(name, call, dtype):
    """What is wrong with the operation in this call, or None."""
    on_host, results = gpu.OnHost(gpu.backend()), []
    try:
        for backwards in (False, True):
            State.backwards = backwards
            check(on_host, name, call, dtype)
            results.append(comparison.run(on_host, name, call))
    except AssertionError as error:
        return str(error)
    finally:
        State.backwards = False
    same = all((results[0][n] == results[1][n]).all() for n in results[0])
    return None if same else "depends on the order of threads"


@pytest.fixture
def broken(monkeypatch):
    """Breaks the kernels; mended by what it returns."""
    device = gpu.device()
    right = device.source
    arrays = importlib.import_module(f"{gpu.backend().__name__}.arrays")

    def rebuild(source):
        monkeypatch.setattr(device, "source", source)
        device._function.cache_clear()
        device._module.cache_clear()
        monkeypatch.setattr(arrays, "tickets", Scratch(device.zeros))  # what a fault left there

    def break_(old, new):
        found = [file.stem for file in device.KERNELS.glob("*.cu") if old in right(file.stem)]
        assert found, f"{old!r} stands in no source"
        rebuild(lambda file: right(file).replace(old, new))
        return lambda: rebuild(right)

    yield break_
    rebuild(right)


@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_caught(fault, broken, monkeypatch):
    dense = importlib.import_module(f"{gpu.backend().__name__}.dense")
    name, old, new = FAULTS[fault]
    if fault == "place in a large tile":
        monkeypatch.setattr(dense, "tile", lambda M, R: (128, 128))
    mend = broken(old, new)
    draws = [Draw(np.float32, seed) for seed in SEEDS] + [Draw(np.float32, 0, large=True)]
    for draw in draws:
        call = CASES[name](draw)
        if caught(name, call, np.float32):
            mend()
            assert caught(name, call, np.float32) is None
            return
    pytest.fail(f"no call of {name} shows that {fault} is wrong")
