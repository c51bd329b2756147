"""The reference of losses, latent codes, optimizers, random numbers and the whole VAE.

Judges: the complex step with a random upstream gradient, PyTorch in float64, published answers.
"""

import ast
import math
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import torch

from reference import losses, philox, vae
from reference.adam import adam, adamw
from reference.clip import clip_by_norm
from reference.complex_step import complex_step_gradient, relative_error
from reference.gather import gather, one_hot, take
from reference.gaussian_kl import gaussian_kl
from reference.reparameterization import reparameterize_backward, reparameterize_forward
from reference.rmsprop import rmsprop
from reference.sgd import sgd
from reference.softmax_cross_entropy import softmax_cross_entropy

TOLERANCE = 1e-10
FOLDER = Path(losses.__file__).parent
MODULES = (
    "losses",
    "gaussian_kl",
    "softmax_cross_entropy",
    "mixed_loss",
    "reparameterization",
    "sgd",
    "adam",
    "rmsprop",
    "clip",
    "gather",
    "sparse",
    "philox",
    "vae",
)


@pytest.fixture
def rng():
    return np.random.default_rng(20)


def tensor(x):
    """A float64 leaf that asks for its gradient."""
    return torch.tensor(x, dtype=torch.float64, requires_grad=True)


# ---------------------------------------------------------------- losses

TORCH_LOSSES = {
    "bce_with_logits": torch.nn.functional.binary_cross_entropy_with_logits,
    "bce": torch.nn.functional.binary_cross_entropy,
    "mse": torch.nn.functional.mse_loss,
    "l1": torch.nn.functional.l1_loss,
}


def prediction_and_target(name, shape, rng):
    y = rng.uniform(0.05, 0.95, shape) if name == "bce" else rng.normal(0, 3, shape)
    return y, rng.uniform(size=shape)


@pytest.mark.parametrize("shape", [(1,), (4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_loss_gradient_is_the_complex_step(name, shape, rng):
    loss, scale = getattr(losses, name), rng.normal()
    y, t = prediction_and_target(name, shape, rng)
    wanted = complex_step_gradient(lambda y: loss(y, t, scale)[0], y, 1.0)
    assert relative_error(loss(y, t, scale)[1], wanted) <= TOLERANCE


@pytest.mark.parametrize("shape", [(1,), (4, 3), (2, 3, 2, 2)])
@pytest.mark.parametrize("name", TORCH_LOSSES)
def test_loss_is_torch_with_any_reduction(name, shape, rng):
    y, t = prediction_and_target(name, shape, rng)
    for scale, reduction in ((1.0, "sum"), (1 / y.size, "mean")):
        value, dy = getattr(losses, name)(y, t, scale)
        judge = tensor(y)
        wanted = TORCH_LOSSES[name](judge, torch.tensor(t), reduction=reduction)
        wanted.backward()
        np.testing.assert_allclose(value, wanted.item(), rtol=1e-12)
        np.testing.assert_allclose(dy, judge.grad.numpy(), rtol=1e-12)


def test_bce_with_logits_is_sigmoid_then_bce(rng):
    a, t = prediction_and_target("bce_with_logits", (4, 3), rng)
    p = 1 / (1 + np.exp(-a))
    value, dlogits = losses.bce_with_logits(a, t, 0.3)
    value_p, dp = losses.bce(p, t, 0.3)
    np.testing.assert_allclose(value, value_p, rtol=1e-12)
    np.testing.assert_allclose(dlogits, dp * p * (1 - p), rtol=1e-10)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bce_with_logits_far_out(dtype):
    a = np.array([-1000, -1000, 1000, 1000, 0], dtype)
    t = np.array([0, 1, 0, 1, 0.5], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        value, dlogits = losses.bce_with_logits(a, t, 1.0)
    np.testing.assert_allclose(value, 2000 + math.log(2), rtol=1e-6)
    np.testing.assert_array_equal(dlogits, [0, -1, 1, 0, 0])


def test_bce_at_the_ends_is_torch():
    p, t = np.array([0.0, 0.0, 1.0, 1.0, 1e-60]), np.array([0.0, 1.0, 0.0, 1.0, 0.5])
    value, dp = losses.bce(p, t, 1.0)
    judge = tensor(p)
    wanted = torch.nn.functional.binary_cross_entropy(judge, torch.tensor(t), reduction="sum")
    wanted.backward()
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-12)
    np.testing.assert_allclose(dp, (p - t) / 1e-12, rtol=1e-15)
    floor = float(np.float32(1e-12))  # PyTorch keeps this constant in float32, 4e-9 below 1e-12
    np.testing.assert_allclose(dp * 1e-12, judge.grad.numpy() * floor, rtol=1e-15)


def test_bce_does_not_hide_a_nan():
    assert np.isnan(losses.bce(np.array([np.nan]), np.array([0.5]), 1.0)[0])
    assert np.isnan(losses.bce_with_logits(np.array([np.nan]), np.array([0.5]), 1.0)[0])


def test_l1_takes_zero_at_its_kink():
    value, dy = losses.l1(np.array([1.0, 2.0]), np.array([1.0, 4.0]), 3.0)
    assert value == 6.0
    np.testing.assert_array_equal(dy, [0, -3])


# ---------------------------------------------------------------- softmax and cross-entropy


def test_softmax_cross_entropy_gradient_is_the_complex_step(rng):
    logits, labels, scale = rng.normal(0, 3, (6, 4)), rng.integers(0, 4, 6), rng.normal()
    wanted = complex_step_gradient(
        lambda a: softmax_cross_entropy(a, labels, scale)[0], logits, 1.0
    )
    assert relative_error(softmax_cross_entropy(logits, labels, scale)[1], wanted) <= TOLERANCE


def test_softmax_cross_entropy_is_torch(rng):
    logits, labels = rng.normal(0, 3, (6, 4)), rng.integers(0, 4, 6)
    value, dlogits = softmax_cross_entropy(logits, labels, 1 / 6)
    judge = tensor(logits)
    wanted = torch.nn.functional.cross_entropy(judge, torch.tensor(labels))
    wanted.backward()
    np.testing.assert_allclose(value, wanted.item(), rtol=1e-12)
    np.testing.assert_allclose(dlogits, judge.grad.numpy(), rtol=1e-12, atol=1e-16)


def test_softmax_cross_entropy_far_out():
    logits = np.array([[1e4, 0.0, -1e4], [1e4, 0.0, -1e4]])
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        value, dlogits = softmax_cross_entropy(logits, np.array([0, 2]), 1.0)
    assert value == 2e4
    np.testing.assert_array_equal(dlogits, [[0, 0, 0], [1, 0, -1]])


# ---------------------------------------------------------------- latent codes


def test_gaussian_kl_gradients_are_the_complex_step(rng):
    mean, log_var, scale = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.normal()
    _, dmean, dlog_var = gaussian_kl(mean, log_var, scale)
    by_mean = complex_step_gradient(lambda x: gaussian_kl(x, log_var, scale)[0], mean, 1.0)
    by_log_var = complex_step_gradient(lambda x: gaussian_kl(mean, x, scale)[0], log_var, 1.0)
    assert relative_error(dmean, by_mean) <= TOLERANCE
    assert relative_error(dlog_var, by_log_var) <= TOLERANCE


def test_gaussian_kl_is_torch(rng):
    mean, log_var = rng.normal(size=(5, 3)), rng.normal(0, 2, (5, 3))
    q = torch.distributions.Normal(torch.tensor(mean), torch.tensor(np.exp(log_var / 2)))
    wanted = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum()
    np.testing.assert_allclose(gaussian_kl(mean, log_var, 0.2)[0], 0.2 * wanted, rtol=1e-12)


def test_reparameterize_gradients_are_the_complex_step(rng):
    mean, log_var, eps, dz = rng.normal(size=(4, 5, 3))
    dmean, dlog_var = reparameterize_backward(dz, log_var, eps)
    by_mean = complex_step_gradient(lambda x: reparameterize_forward(x, log_var, eps), mean, dz)
    by_log_var = complex_step_gradient(lambda x: reparameterize_forward(mean, x, eps), log_var, dz)
    assert relative_error(dmean, by_mean) <= TOLERANCE
    assert relative_error(dlog_var, by_log_var) <= TOLERANCE


def test_reparameterize_spreads_by_the_standard_deviation():
    eps = philox.random_normal(3, 2, 0, np.arange(20_000), 1)
    z = reparameterize_forward(np.full_like(eps, 2.0), np.full_like(eps, np.log(9.0)), eps)
    np.testing.assert_allclose([z.mean(), z.std()], [2, 3], atol=0.06)


# ---------------------------------------------------------------- optimizers


def follow(optimizer, step, states, rng):
    """Five random gradients, the rate changed on the way, for PyTorch's optimizer and for ours.

    optimizer: function of a list of tensors;  step(w, dw, *states, t, lr) -> (w, *states).
    """
    w = rng.normal(size=7)
    judge = tensor(w)
    torch_optimizer = optimizer([judge])
    states = [np.zeros(7) for _ in range(states)]
    for t, lr in enumerate((0.1, 0.1, 0.05, 0.2, 0.01)):
        dw = rng.normal(size=7) * 10.0 ** rng.integers(-3, 3, 7)
        judge.grad = torch.tensor(dw)
        torch_optimizer.param_groups[0]["lr"] = lr
        torch_optimizer.step()
        before = [x.copy() for x in (w, dw, *states)]
        result = step(w, dw, *states, t, lr)
        for x, kept in zip((w, dw, *states), before, strict=True):
            np.testing.assert_array_equal(x, kept)  # nothing is mutated
        w, *states = result
        np.testing.assert_allclose(w, judge.detach().numpy(), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("momentum, nesterov", [(0.0, False), (0.8, False), (0.8, True)])
def test_sgd_is_torch(momentum, nesterov, weight_decay, rng):
    follow(
        lambda w: torch.optim.SGD(
            w, lr=1.0, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov
        ),
        lambda w, dw, velocity, t, lr: sgd(w, dw, velocity, lr, momentum, weight_decay, nesterov),
        1,
        rng,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize("ours, theirs", [(adam, torch.optim.Adam), (adamw, torch.optim.AdamW)])
def test_adam_is_torch(ours, theirs, weight_decay, rng):
    follow(
        lambda w: theirs(w, betas=(0.8, 0.99), eps=1e-3, weight_decay=weight_decay),
        lambda w, dw, m, v, t, lr: ours(w, dw, m, v, t, lr, 0.8, 0.99, 1e-3, weight_decay),
        2,
        rng,
    )


@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
def test_rmsprop_is_torch(weight_decay, rng):
    follow(
        lambda w: torch.optim.RMSprop(w, alpha=0.9, eps=1e-3, weight_decay=weight_decay),
        lambda w, dw, v, t, lr: rmsprop(w, dw, v, lr, 0.9, 1e-3, weight_decay),
        1,
        rng,
    )


@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_is_torch(max_norm, rng):
    dw = rng.normal(size=7)
    judge = tensor(np.zeros(7))
    judge.grad = torch.tensor(dw)
    wanted_norm = torch.nn.utils.clip_grad_norm_([judge], max_norm)
    clipped, norm = clip_by_norm(dw, max_norm)
    np.testing.assert_allclose(norm, wanted_norm.item(), rtol=1e-14)
    np.testing.assert_allclose(clipped, judge.grad.numpy(), rtol=1e-14)


def test_clip_measures_float32_in_double_precision():
    dw = np.full(4, 1e30, np.float32)  # squares overflow float32
    clipped, norm = clip_by_norm(dw, 1.0)
    np.testing.assert_allclose(norm, 2e30, rtol=1e-7)
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-6)
    assert clipped.dtype == np.float32


# ---------------------------------------------------------------- gather


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("source_dtype", [np.uint8, np.float32, np.float64])
def test_gather(source_dtype, dtype, rng):
    source = rng.integers(0, 256, (5, 3)).astype(source_dtype)
    indices = np.array([4, 0, 4, 2])
    out = gather(source, indices, 2 / 255, -1.0, dtype)
    assert out.dtype == dtype
    wanted = [[2 * float(source[i, d]) / 255 - 1 for d in range(3)] for i in indices]
    np.testing.assert_allclose(out, wanted, rtol=4 * np.finfo(dtype).eps, atol=np.finfo(dtype).eps)


def test_take_and_one_hot():
    labels = take(np.array([7, 1, 4]), np.array([2, 2, 0]))
    assert labels.dtype == np.int64 and labels.tolist() == [4, 4, 7]
    out = one_hot(np.array([1, 0, 2]), 4, np.float32)
    assert out.dtype == np.float32
    assert out.tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]


# ---------------------------------------------------------------- philox

SEED, PURPOSE, STEP = 0xFEDCBA9876543210, 2 + 256 * 5, 2**32 + 9
ROWS = np.array([7, 0, 2**33 + 3, 7, 59_999])


# Random123's kat_vectors: counter (4 words), key (2), block (4)
KNOWN_ANSWERS = """
00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8
ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd
243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1
"""


@pytest.mark.parametrize("line", KNOWN_ANSWERS.strip().splitlines())
def test_philox_known_answers(line):
    words = tuple(int(word, 16) for word in line.split())
    counter, key, block = words[:4], words[4:6], words[6:]
    assert philox.philox4x32(counter, key) == block
    assert (counter, key, block) in philox.KNOWN_ANSWERS


def test_philox_known_answers_as_arrays():
    counters, keys, blocks = zip(*philox.KNOWN_ANSWERS, strict=True)
    words = np.array(counters, np.uint64).T  # (4, blocks)
    for (k0, k1), column in zip(keys, range(3), strict=True):
        found = philox.philox4x32(words, (k0, k1))
        assert tuple(int(word[column]) for word in found) == blocks[column]


def test_random_uint32_follows_the_counter_layout():
    out = philox.random_uint32(SEED, PURPOSE, STEP, ROWS, 11)
    assert out.dtype == np.uint32 and out.shape == (5, 11)
    for n, row in enumerate(ROWS.tolist()):
        for d in range(11):
            counter = (d // 4, row % 2**32, STEP % 2**32, PURPOSE)
            block = philox.philox4x32(counter, (SEED % 2**32, SEED // 2**32))
            assert out[n, d] == block[d % 4]


@pytest.mark.parametrize("columns", [1, 4, 6])
def test_draws_do_not_depend_on_the_batch_split_or_the_columns(columns):
    whole = philox.random_normal(SEED, PURPOSE, STEP, ROWS, 9)
    parts = [
        philox.random_normal(SEED, PURPOSE, STEP, part, columns) for part in (ROWS[:2], ROWS[2:])
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole[:, :columns])


def test_every_word_of_the_name_matters():
    names = [
        (1, 2, 3, 4),
        (2, 2, 3, 4),
        (1 + 2**32, 2, 3, 4),
        (1, 3, 3, 4),
        (1, 2, 4, 4),
        (1, 2, 3, 5),
    ]
    draws = {philox.random_uint32(s, p, t, np.array([row]), 8).tobytes() for s, p, t, row in names}
    assert len(draws) == len(names)


def test_random_uniform_is_the_middle_of_a_cell():
    x = philox.random_uint32(SEED, PURPOSE, STEP, ROWS, 5)
    u = philox.random_uniform(SEED, PURPOSE, STEP, ROWS, 5)
    for word, number in zip(x.ravel().tolist(), u.ravel().tolist(), strict=True):
        assert number == (2 * (word // 512) + 1) / 2**24
    u32 = philox.random_uniform(SEED, PURPOSE, STEP, ROWS, 5, np.float32)
    assert u32.dtype == np.float32
    np.testing.assert_array_equal(u32.astype(np.float64), u)


@pytest.mark.parametrize("columns", [1, 2, 5, 8])
def test_random_normal_is_box_muller(columns):
    u = philox.random_uniform(SEED, PURPOSE, STEP, ROWS, columns + 1)
    z = philox.random_normal(SEED, PURPOSE, STEP, ROWS, columns)
    assert z.shape == (5, columns)
    for n in range(5):
        for d in range(columns):
            even = d - d % 2
            wave = math.sin if d % 2 else math.cos
            wanted = math.sqrt(-2 * math.log(u[n, even])) * wave(2 * math.pi * u[n, even + 1])
            assert z[n, d] == pytest.approx(wanted, rel=1e-14)
    z32 = philox.random_normal(SEED, PURPOSE, STEP, ROWS, columns, np.float32)
    np.testing.assert_array_equal(z32, z.astype(np.float32))


def test_distributions():
    rows = np.arange(20_000)
    u = philox.random_uniform(5, 0, 0, rows, 10).ravel()
    z = philox.random_normal(5, 0, 1, rows, 10).ravel()
    assert scipy.stats.kstest(u, "uniform").pvalue > 1e-3
    assert scipy.stats.kstest(z, "norm").pvalue > 1e-3
    n = z.size  # each moment within four standard errors
    for power, wanted, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - wanted) < 4 * math.sqrt(variance / n)
    z = z.reshape(-1, 10)
    correlation = np.corrcoef(z, rowvar=False) - np.eye(10)
    assert np.abs(correlation).max() < 5 / math.sqrt(len(z))


def test_random_bernoulli():
    u = philox.random_uniform(SEED, PURPOSE, STEP, ROWS, 7)
    b = philox.random_bernoulli(SEED, PURPOSE, STEP, ROWS, 0.3, 7, np.float32)
    assert b.dtype == np.float32
    np.testing.assert_array_equal(b, np.where(u < 0.3, 1, 0))
    many = philox.random_bernoulli(1, 3, 0, np.arange(20_000), 0.3, 5)
    assert abs(many.mean() - 0.3) < 4 * math.sqrt(0.3 * 0.7 / many.size)


# ---------------------------------------------------------------- the whole VAE


def torch_vae_loss(parameters, x, eps, beta):
    """The same model written with PyTorch's own pieces."""
    w1, b1, w2, b2, w3, b3, w4, b4 = parameters
    linear = torch.nn.functional.linear
    mean, log_var = linear(linear(x, w1, b1).relu(), w2, b2).chunk(2, dim=1)
    q = torch.distributions.Normal(mean, log_var.exp().sqrt())
    logits = linear(linear(mean + q.stddev * eps, w3, b3).relu(), w4, b4)
    likelihood = torch.distributions.Bernoulli(logits=logits, validate_args=False).log_prob(x)
    kl = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0))
    return (beta * kl.sum() - likelihood.sum()) / len(x)


@pytest.mark.parametrize("beta", [1.0, 0.3])
def test_vae_gradients_are_the_complex_step_and_torch(beta, rng):
    D, H, Z, N = 6, 5, 2, 4
    parameters = vae.initial_parameters(3, D, H, Z)
    x, eps = rng.uniform(size=(N, D)), rng.normal(size=(N, Z))
    loss, gradients = vae.loss_and_gradients(parameters, x, eps, beta)
    judges = [tensor(w) for w in parameters]
    wanted = torch_vae_loss(judges, torch.tensor(x), torch.tensor(eps), beta)
    wanted.backward()
    np.testing.assert_allclose(loss, wanted.item(), rtol=1e-13)
    for i, (dw, judge) in enumerate(zip(gradients, judges, strict=True)):

        def loss_of(w, i=i):
            others = [*parameters[:i], w, *parameters[i + 1 :]]
            return vae.loss_and_gradients(others, x, eps, beta)[0]

        assert relative_error(dw, complex_step_gradient(loss_of, parameters[i], 1.0)) <= TOLERANCE
        assert relative_error(dw, judge.grad.numpy()) <= TOLERANCE


def test_vae_initial_parameters():
    parameters = vae.initial_parameters(seed=1, D=12, H=30, Z=4)
    shapes = [(30, 12), (30,), (8, 30), (8,), (30, 4), (30,), (12, 30), (12,)]
    assert [w.shape for w in parameters] == shapes
    for i, (w, fan_in) in enumerate(zip(parameters, (12, 12, 30, 30, 4, 4, 30, 30), strict=True)):
        for index in np.ndindex(w.shape):
            row, column = (*index, 0)[:2]
            u = philox.random_uniform(1, 1, i, np.array([row]), column + 1)[0, column]
            assert w[index] == pytest.approx((2 * u - 1) / math.sqrt(fan_in), rel=1e-15)


def test_vae_training_is_torch_with_the_same_numbers(rng):
    """Three epochs of 10 samples in batches of 4, 4 and 2; purposes 2 shuffle, 3 epsilon."""
    images, seed, Z = rng.uniform(size=(10, 6)), 5, 2
    parameters, found = vae.train(images, seed, 5, Z, 4, 9, lr=0.01, beta=0.5)

    judges = [tensor(w) for w in vae.initial_parameters(seed, 6, 5, Z)]
    optimizer = torch.optim.Adam(judges, lr=0.01)
    wanted, visited = [], []
    for step in range(9):
        words = philox.random_uint32(seed, 2, step // 3, np.arange(10), 2).tolist()
        order = sorted(range(10), key=lambda m, words=words: (words[m], m))
        batch = order[4 * (step % 3) :][:4]
        visited += batch
        eps = philox.random_normal(seed, 3, step, np.array(batch), Z)
        optimizer.zero_grad()
        loss = torch_vae_loss(judges, torch.tensor(images[batch]), torch.tensor(eps), 0.5)
        loss.backward()
        optimizer.step()
        wanted.append(loss.item())
    assert sorted(visited) == sorted(3 * list(range(10)))
    np.testing.assert_allclose(found, wanted, rtol=1e-10)
    for w, judge in zip(parameters, judges, strict=True):
        np.testing.assert_allclose(w, judge.detach().numpy(), rtol=1e-8, atol=1e-10)


# ---------------------------------------------------------------- the study text


@pytest.mark.parametrize("module", MODULES)
def test_demo_runs(module, capsys, monkeypatch):
    monkeypatch.delitem(sys.modules, f"reference.{module}", raising=False)
    runpy.run_module(f"reference.{module}", run_name="__main__")
    assert capsys.readouterr().out


@pytest.mark.parametrize("module", MODULES)
def test_derivation_ends_at_the_line_of_code(module):
    """Every line that a derivation announces with `code:` stands in the code below it."""
    source = (FOLDER / f"{module}.py").read_text(encoding="utf-8")
    derivation = ast.get_docstring(ast.parse(source))
    code = source.split('"""', 2)[2]
    announced = []
    for block in re.findall(r"code: .*(?:\n {12}.*)*", derivation):
        announced += [line.removeprefix("code:").strip() for line in block.splitlines()]
    assert announced or module == "vae"
    for line in announced:
        assert line in code


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_reference_imports_numpy_only(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module]
        else:
            continue
        assert {name.split(".")[0] for name in names} <= {"numpy", "reference"}


def test_readme_leads_through_every_file():
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}
    assert {name for name in modules if f"`{name}`" not in readme} == set()
