"""Arrays of a recorded step that are not needed at one time lie in one place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minae import get_backend, recipes
from minae.backends.cpu_numba import lifetimes
from minae.backends.cpu_numba.arrays import scratch
from minae.backends.cpu_numba.lifetimes import Life, laid_out, places
from minae.backends.cpu_numba.program import Program
from minae.layers import Activation, Dense, Sequential
from minae.losses import MSE
from minae.models import Autoencoder
from minae.optim import Adam
from minae.training import Training
from tests.examples import mnist
from tests.test_fusion import training_of

NUMBA = get_backend("numba")


@st.composite
def lives(draw):
    first = draw(st.integers(0, 10))
    return Life(64 * draw(st.integers(0, 5)), first, draw(st.integers(first, 12)))


@given(st.lists(lives(), max_size=12))
def test_what_is_needed_at_one_time_does_not_overlap(found):
    firsts, size = places(found)
    for i, (a, life) in enumerate(zip(firsts, found, strict=True)):
        assert a % 64 == 0 and a + life.size <= size
        for b, other in zip(firsts[:i], found[:i], strict=True):
            if any(life.first <= call <= life.last for call in range(other.first, other.last + 1)):
                assert a + life.size <= b or b + other.size <= a
    at_once = [sum(x.size for x in found if x.first <= call <= x.last) for call in range(13)]
    assert max(at_once) <= size <= sum(life.size for life in found)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=9))
def test_forward_and_back_takes_no_more_than_is_needed_at_one_time(sizes):
    """Each output is kept until backward comes back to it; between the two lies a gradient."""
    L = len(sizes)
    outputs = [Life(64 * n, i, 2 * L - i) for i, n in enumerate(sizes)]
    _, size = places(outputs)
    assert size == sum(life.size for life in outputs)
    _, size = places([*outputs, *(Life(64, L + i, L + i) for i in range(1, L))])
    assert size == sum(life.size for life in outputs) + 64 * (L > 1)


# ---------------------------------------------------------------- what is moved
def chain(first=NUMBA.empty, second=NUMBA.empty, third=NUMBA.empty):
    """x + 1 to a, a + 1 to b, b + 1 to c."""
    shape = (40, 30)
    one = NUMBA.zeros(shape, np.float64)
    one.fill(1)
    x, a, b, c = (
        NUMBA.zeros(shape, np.float64),
        *(make(shape, np.float64) for make in (first, second, third)),
    )
    calls = [
        (NUMBA.add, {"a": given, "b": one, "out": out}) for given, out in ((x, a), (a, b), (b, c))
    ]
    return calls, (x, a, b, c)


def moved(calls):
    """For each of the calls, whether its result is elsewhere."""
    found = [call for call, _ in laid_out(calls, [0] * len(calls))]
    return [
        not np.may_share_memory(new[1]["out"], old[1]["out"])
        for new, old in zip(found, calls, strict=True)
    ]


def test_what_is_read_later_is_moved_and_a_result_is_not():
    calls, _ = chain()
    assert moved(calls) == [True, True, False]
    assert moved(chain(first=NUMBA.zeros)[0]) == [False, True, False]
    assert moved(chain(second=np.empty)[0]) == [True, False, False]


def test_what_is_read_first_written_in_part_or_added_to_stays():
    calls, (x, a, b, c) = chain()
    read_first = (NUMBA.add, {"a": b, "b": x, "out": x})
    assert moved([read_first, *calls]) == [False, True, False, False]
    in_part = (NUMBA.copy, {"x": x[:3], "out": a[:3]})
    assert moved([in_part, *calls]) == [False, False, True, False]
    mean, log_var, eps = (NUMBA.zeros((40, 30), np.float64) for _ in range(3))
    for accumulate in (False, True):
        dmean, dlog_var = NUMBA.empty((40, 30), np.float64), NUMBA.empty((40, 30), np.float64)
        named = {"dz": c, "log_var": log_var, "eps": eps, "dmean": dmean, "dlog_var": dlog_var}
        back = (NUMBA.reparameterize_backward, named | {"accumulate": accumulate})
        read = (NUMBA.add, {"a": dmean, "b": dlog_var, "out": mean})
        (_, found), _ = laid_out([back, read], [0, 0])[0]
        assert (found["dmean"] is dmean) == (found["dlog_var"] is dlog_var) == accumulate


def test_what_is_written_last_stays():
    """Also where it is read by the call that writes it."""
    calls, (x, _, b, _) = chain()
    in_place = (NUMBA.add, {"a": b, "b": x, "out": b})
    assert moved([*calls[:2], in_place]) == [True, False, False]
    eps, dmean, dlog_var = x * 0, NUMBA.empty(x.shape, x.dtype), NUMBA.empty(x.shape, x.dtype)
    named = {"dz": x, "log_var": x, "eps": eps, "dmean": dmean, "dlog_var": dlog_var}
    added = (NUMBA.reparameterize_backward, named | {"accumulate": True})
    begin = [(NUMBA.copy, {"x": x, "out": out}) for out in (dmean, dlog_var)]
    *_, ((_, found), _) = laid_out([*begin, added], [0, 0, 0])
    assert found["dmean"] is dmean and found["dlog_var"] is dlog_var


def test_views_of_one_array_stay_views_of_one():
    whole = NUMBA.empty((8, 6), np.float32)
    calls = [
        (NUMBA.copy, {"x": np.arange(48, dtype=np.float32).reshape(8, 6), "out": whole}),
        (NUMBA.copy, {"x": whole[2:5, ::-2], "out": np.zeros((3, 3), np.float32)}),
    ]
    whole.fill(-1)
    Program(calls)()
    assert calls[1][1]["out"].tolist() == [[17, 15, 13], [23, 21, 19], [29, 27, 25]]
    assert (whole == -1).all()


def test_scratch_is_nobody_elses_meanwhile():
    calls, _ = chain()
    found = laid_out(calls, [640, 6400, 64_000])
    for i, ((_, named), own) in enumerate(found):
        assert own.nbytes == (640, 6400, 64_000)[i]
        assert not any(np.may_share_memory(own, x) for x in named.values())
    (_, first), _ = found[0]
    assert not np.may_share_memory(first["out"], found[1][1])  # is read there


# ---------------------------------------------------------------- whole steps
@pytest.mark.parametrize("name", recipes.image_recipes())
def test_no_step_needs_what_the_one_before_has_left(name):
    """Steps whose memory is filled with NaN before each are those of the layers, at one loss."""
    recorded, direct = (training_of(name, "numba", record=record) for record in (True, False))
    for _ in range(5):
        recorded.step()
        direct.step()
        assert recorded.loss() == pytest.approx(direct.loss(), rel=1e-10)
        scratch("program", (1,), np.uint8)
        for memory in scratch.buffers():
            memory.fill(255)  # NaN, of either size


def test_activations_without_a_bias_as_well():
    """They add zeros, which no step writes."""
    losses = []
    for record in (True, False):
        encoder = Sequential(Dense(784, 8, bias=False), Activation("tanh"))
        model = Autoencoder((784,), encoder, Dense(8, 784), MSE("image")).bind("numba", np.float64)
        training = Training(model, Adam(1e-3), mnist(100)[0], batch_size=40, record=record)
        losses.append([training.step() and training.loss() for _ in range(9)])
    np.testing.assert_allclose(*losses, rtol=1e-10)


def test_what_is_drawn_stays():
    training = training_of("vae", "numba")
    draws = [training.step().eps.copy() for _ in range(2)]
    assert all(0.5 < eps.std() < 1.5 for eps in draws)
    assert not np.allclose(*draws)


def test_a_step_takes_less_than_its_arrays_side_by_side(monkeypatch):
    found = []

    def noted(given, before=lifetimes.places):
        firsts, size = before(given)
        found.append(size / max(sum(life.size for life in given), 1))
        return firsts, size

    monkeypatch.setattr(lifetimes, "places", noted)
    for name in ("conv", "cvae", "vae", "deep"):
        recipe = recipes.make(name)
        recipe.model.bind("numba", np.float32, recipe.seed)
        Training(recipe.model, recipe.optimizer, *mnist(256), batch_size=256).step()
    assert max(found) < 0.5
