"""Optimizers, schedules and clipping against torch.optim, step by step, on every backend."""

import numpy as np
import pytest
import torch

from minae import MinaeError
from minae.layers import Dense, Sequential
from minae.optim import SGD, Adam, AdamW, Constant, Cosine, RMSprop, StepDecay, WarmUp
from tests.examples import BACKENDS, DTYPES, bind

STEPS = 12
TOLERANCE = {"float64": 1e-12, "float32": 4e-6}  # some steps' rounding of weights of about 1

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)

RULES = {
    "SGD": (SGD(0.1), lambda w: torch.optim.SGD(w, 0.1)),
    "SGD, momentum": (SGD(0.1, 0.9), lambda w: torch.optim.SGD(w, 0.1, momentum=0.9)),
    "SGD, decay": (SGD(0.1, 0.0, 0.2), lambda w: torch.optim.SGD(w, 0.1, weight_decay=0.2)),
    "SGD, all": (
        SGD(0.1, 0.8, 0.2, nesterov=True),
        lambda w: torch.optim.SGD(w, 0.1, momentum=0.8, weight_decay=0.2, nesterov=True),
    ),
    "Adam": (Adam(), lambda w: torch.optim.Adam(w)),
    "Adam, all": (
        Adam(0.02, 0.8, 0.95, 1e-4, 0.3),
        lambda w: torch.optim.Adam(w, 0.02, (0.8, 0.95), 1e-4, weight_decay=0.3),
    ),
    "AdamW": (AdamW(), lambda w: torch.optim.AdamW(w)),
    "AdamW, all": (
        AdamW(0.02, 0.8, 0.95, 1e-4, 0.3),
        lambda w: torch.optim.AdamW(w, 0.02, (0.8, 0.95), 1e-4, weight_decay=0.3),
    ),
    "RMSprop": (RMSprop(0.01), lambda w: torch.optim.RMSprop(w, 0.01)),
    "RMSprop, all": (
        RMSprop(0.02, 0.9, 1e-4, 0.3),
        lambda w: torch.optim.RMSprop(w, 0.02, 0.9, 1e-4, weight_decay=0.3),
    ),
}


def network(backend, dtype):
    """Parameters of 37·5 + 5 + 5·3 numbers: no array fills its place in the flat vector."""
    return bind(Sequential(Dense(37, 5), Dense(5, 3, bias=False)), backend, dtype)


def set_gradients(parameters, rng, scale=1.0):
    """Random gradients, those of float32 also on float64; returns them as tensors."""
    tensors = []
    for view in parameters.gradient_views.values():
        values = rng.normal(scale=scale, size=view.shape).astype(np.float32)
        parameters.ops.copy(parameters.ops.asarray(values, parameters.dtype), out=view)
        tensors.append(torch.from_numpy(values.astype(np.float64)))
    return tensors


def tensors_of(parameters):
    """The weights as float64 tensors."""
    host = (parameters.ops.to_numpy(view) for view in parameters.views.values())
    return [torch.from_numpy(values.astype(np.float64)).requires_grad_() for values in host]


def assert_weights(parameters, wanted, dtype):
    for (path, view), w in zip(parameters.views.items(), wanted, strict=True):
        found = parameters.ops.to_numpy(view)
        np.testing.assert_allclose(
            found, w.detach().numpy(), rtol=0, atol=TOLERANCE[dtype], err_msg=path
        )


def padding_of(parameters):
    """True where the flat vector belongs to no array."""
    padding = np.ones(parameters.values.shape, bool)
    for view in parameters.views.values():
        start = (view.ctypes.data - parameters.values.ctypes.data) // view.itemsize
        padding[start : start + view.size] = False
    return padding


@every_backend
@every_dtype
@pytest.mark.parametrize("rule", RULES)
def test_rule(rule, dtype, backend):
    optimizer, judge = RULES[rule]
    parameters = network(backend, dtype)
    wanted = tensors_of(parameters)
    judge = judge(wanted)
    optimizer.bind(parameters)
    rng = np.random.default_rng(1)
    padding = padding_of(parameters)
    assert padding.sum() == 7 + 11 + 1
    for step in range(STEPS):
        for w, gradient in zip(wanted, set_gradients(parameters, rng), strict=True):
            w.grad = gradient
        gradients = parameters.ops.to_numpy(parameters.gradients)
        judge.step()
        optimizer.step()
        assert_weights(parameters, wanted, dtype)
        np.testing.assert_array_equal(parameters.gradients, gradients)
        assert optimizer.steps_done == optimizer.step_count[0] == step + 1
        for flat in (parameters.values, *optimizer.state.values()):
            assert flat.dtype == dtype
            assert not flat[padding].any()


@every_backend
def test_bind_starts_anew(backend):
    optimizer = Adam(0.1, schedule=StepDecay(2))
    runs = []
    for _ in range(2):
        parameters = network(backend, "float64")
        optimizer.bind(parameters)
        rng = np.random.default_rng(0)
        for _ in range(5):
            set_gradients(parameters, rng)
            optimizer.step()
        runs.append(parameters.ops.to_numpy(parameters.values))
    np.testing.assert_array_equal(*runs)


# ------------------------------------------------------------------ clipping
@every_backend
@every_dtype
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_by_norm(max_norm, dtype, backend):
    """Together with a step, as it is used: max_norm below and above the gradient's norm (15)."""
    parameters = network(backend, dtype)
    wanted = tensors_of(parameters)
    judge = torch.optim.SGD(wanted, 0.1)
    optimizer = SGD(0.1, max_norm=max_norm)
    optimizer.bind(parameters)
    rng = np.random.default_rng(1)
    for _ in range(3):
        for w, gradient in zip(wanted, set_gradients(parameters, rng), strict=True):
            w.grad = gradient
        norm = torch.nn.utils.clip_grad_norm_(wanted, max_norm)
        judge.step()
        optimizer.step()
        np.testing.assert_allclose(
            parameters.ops.to_numpy(optimizer.norm), [norm], rtol=TOLERANCE[dtype]
        )
        for view, w in zip(parameters.gradient_views.values(), wanted, strict=True):
            np.testing.assert_allclose(view, w.grad, rtol=TOLERANCE[dtype], atol=1e-15)
        assert_weights(parameters, wanted, dtype)


# ------------------------------------------------------------------ schedules
def torch_rates(make, steps):
    """The learning rates of a torch.optim.lr_scheduler that starts from 1."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 1.0)
    schedule, rates = make(optimizer), []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def warm_up_then_cosine(optimizer):
    parts = [
        torch.optim.lr_scheduler.LinearLR(optimizer, 1 / 5, 1.0, total_iters=4),
        torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 15),
    ]
    return torch.optim.lr_scheduler.SequentialLR(optimizer, parts, milestones=[5])


SCHEDULES = {
    "constant": (Constant(), lambda o: torch.optim.lr_scheduler.ConstantLR(o, 1.0), 20),
    "step": (StepDecay(3, 0.5), lambda o: torch.optim.lr_scheduler.StepLR(o, 3, 0.5), 20),
    "cosine": (
        Cosine(20, final=0.1),
        lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 20, eta_min=0.1),
        21,
    ),
    "warm-up": (
        WarmUp(5),
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 1 / 5, 1.0, total_iters=4),
        20,
    ),
    "warm-up, cosine": (WarmUp(5, Cosine(15)), warm_up_then_cosine, 20),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter:UserWarning")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name):
    schedule, judge, steps = SCHEDULES[name]
    wanted = torch_rates(judge, steps)
    np.testing.assert_allclose([schedule(step) for step in range(steps)], wanted, atol=1e-14)
    assert len(set(wanted)) > 1 or name == "constant"


def test_cosine_stays_at_its_end():
    assert [Cosine(4, 0.25)(step) for step in (4, 5, 6, 100)] == [0.25] * 4


@every_backend
def test_each_step_has_its_rate(backend):
    """The optimizer multiplies lr by the schedule at the number of steps done before."""
    parameters = network(backend, "float64")
    optimizer = SGD(0.1, schedule=WarmUp(3, StepDecay(2, 0.5)))
    optimizer.bind(parameters)
    before, rates = parameters.ops.to_numpy(parameters.values), []
    for view in parameters.gradient_views.values():
        view[:] = 1.0
    for _ in range(8):
        optimizer.step()
        after = parameters.ops.to_numpy(parameters.values)
        rates.append((before - after)[0])
        before = after
        assert optimizer.current_lr[0] == pytest.approx(rates[-1])
    wanted = 0.1 * np.array([1 / 3, 2 / 3, 1, 1, 1, 0.5, 0.5, 0.25])
    np.testing.assert_allclose(rates, wanted, rtol=1e-12)


# ------------------------------------------------------------------ what is refused
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SGD(0.0), "learning rate must be greater than 0, found 0.0"),
        (lambda: Adam(-1e-3), "learning rate must be greater than 0, found -0.001"),
        (lambda: RMSprop(float("nan")), "learning rate must be greater than 0, found nan"),
        (lambda: AdamW(max_norm=0.0), "max_norm must be greater than 0, found 0.0"),
        (lambda: StepDecay(0), "every must be at least 1, found 0"),
        (lambda: Cosine(0), "steps must be at least 1, found 0"),
    ],
)
def test_refused(make, message):
    with pytest.raises(MinaeError, match=message):
        make()
