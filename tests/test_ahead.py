"""The process that compiles a first step's last kernels while this one compiles its first."""

import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numba import config
from numba.core import event
from numba.core.caching import NullCache

from minae.backends.cpu_numba import ahead, recording
from minae.backends.cpu_numba.activations import bias_activation_forward

# A process with an empty cache: another one compiles three calls, then this one does them.
THREE_CALLS = """
import json
import numpy as np
from numba.core import event
from minae.backends.cpu_numba import activations, ahead


class Names(event.Listener):
    found = []

    def on_start(self, event):
        self.found.append(event.data["dispatcher"].py_func.__name__)

    def on_end(self, event):
        pass


y, half = np.ones((2, 8), np.float32), np.ones((2, 16), np.float32)[:, ::2]
dy, b = np.ones((2, 8), np.float32), np.ones(8, np.float32)
shared = {"activation": "relu", "slope": 0.0}
calls = [
    (activations.bias_activation_forward, {"x": y, "b": b, **shared, "out": y}),
    (activations.bias_activation_forward, {"x": half, "b": b, **shared, "out": y}),
    (activations.bias_activation_backward, {"dy": dy, "y": y, **shared, "dx": dy, "db": b}),
]
helper = ahead._Helper(calls)
helper.start()
code = helper.process.wait()
event.register("numba:compile", Names())
for function, arguments in calls:
    function(**arguments)
print(json.dumps([code, Names.found, y[0, 0].item(), b[0].item()]))
"""


def test_kernels_of_the_other_process_are_found(tmp_path):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", THREE_CALLS]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    assert json.loads(done.stdout) == [0, [], 2.0, 2.0]


def test_the_operation_wanted_last_is_compiled_first(monkeypatch):
    done = []

    def noting(name):
        return lambda **arguments: done.append((name, arguments["i"]))

    a, b, c = (noting(name) for name in "abc")
    calls = [(a, {"i": 0}), (b, {"i": 1}), (a, {"i": 2}), (c, {"i": 3}), (b, {"i": 4})]
    monkeypatch.setattr(ahead, "_Unpickler", lambda file: SimpleNamespace(load=lambda: calls))
    ahead.compile_backwards()
    assert done == [("c", 3), ("b", 1), ("b", 4), ("a", 0), ("a", 2)]


def test_zeros_are_what_a_kernel_is_compiled_for():
    x = np.ones((4, 6), np.float32)
    read_only = np.ones(3, np.int64)
    read_only.flags.writeable = False
    given = [x, x[:, ::2], x.T, x, read_only, np.ones((0, 3)), x[:2], np.float32(0.5), None, "relu"]
    text = io.BytesIO()
    ahead._Pickler(text).dump(given)
    assert len(text.getvalue()) < 2000
    text.seek(0)
    found = ahead._Unpickler(text).load()
    for there, here in zip(found[:7], given[:7], strict=True):
        assert (there.shape, there.dtype, there.strides) == (here.shape, here.dtype, here.strides)
        assert there.flags.c_contiguous == here.flags.c_contiguous
        assert there.flags.writeable == here.flags.writeable
        assert not there.any()
    assert found[0] is found[3]
    assert found[7:] == given[7:]


def compiling(cache):
    """What Numba says when it compiles a kernel with such a cache."""
    dispatcher = SimpleNamespace(_cache=cache)
    return event.broadcast(
        event.Event("numba:compile", event.EventStatus.START, {"dispatcher": dispatcher})
    )


@pytest.fixture
def started(monkeypatch):
    """The processes that were started: each one sleeps."""
    found = []
    start = subprocess.Popen

    def sleep(command, **options):
        found.append(start([sys.executable, "-c", "import time; time.sleep(600)"], **options))
        return found[-1]

    monkeypatch.setattr(ahead.subprocess, "Popen", sleep)
    monkeypatch.setattr(config, "NUMBA_DEFAULT_NUM_THREADS", 2)
    return found


def test_one_process_is_started_and_ended(started):
    with ahead.compiled_ahead([]):
        assert started == []
        compiling(NullCache())  # what is in no cache cannot be found there
        assert started == []
        compiling("a cache")
        compiling("a cache")
        assert len(started) == 1
        assert started[0].poll() is None
    assert started[0].poll() is not None
    compiling("a cache")
    assert len(started) == 1


def test_it_is_ended_by_an_error_too(started):
    with pytest.raises(KeyboardInterrupt), ahead.compiled_ahead([]):
        compiling("a cache")
        raise KeyboardInterrupt
    assert started[0].poll() is not None


@pytest.mark.parametrize(
    ("where", "name", "value"),
    [(config, "NUMBA_DEFAULT_NUM_THREADS", 1), (sys, "frozen", True), (sys, "executable", "")],
    ids=["one core", "an application", "no interpreter"],
)
def test_none_is_started_on(started, monkeypatch, where, name, value):
    monkeypatch.setattr(where, name, value, raising=False)
    with ahead.compiled_ahead([]):
        compiling("a cache")
    assert started == []


def test_a_process_that_cannot_be_started_does_no_harm(monkeypatch):
    def refuse(*arguments, **options):
        raise OSError("too many processes")

    monkeypatch.setattr(ahead.subprocess, "Popen", refuse)
    monkeypatch.setattr(config, "NUMBA_DEFAULT_NUM_THREADS", 2)
    with ahead.compiled_ahead([]):
        compiling("a cache")


def test_a_recording_asks_for_it(monkeypatch):
    asked = []

    def ahead_of(calls):
        asked.append([function for function, _ in calls])
        return ahead.compiled_ahead(calls)

    monkeypatch.setattr(recording, "compiled_ahead", ahead_of)
    backend = sys.modules["minae.backends.cpu_numba"]
    y = np.zeros((2, 3))
    recording.record(lambda: backend.bias_activation_forward(y, np.ones(3), "relu", 0.0, out=y))
    assert asked == [[bias_activation_forward]]
    assert y.tolist() == [[1.0] * 3] * 2
