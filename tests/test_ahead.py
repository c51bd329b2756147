"""The process that compiles a first step's last kernels while this one compiles its first."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
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


def a(i):
    """An operation."""


def b(i):
    """Another."""


def c(i):
    """A third."""


def read(texts):
    """What the other process makes of them."""
    return [ahead._Unpickler(io.BytesIO(text)).load() for text in texts]


def test_the_operation_wanted_last_is_compiled_first():
    calls = [(a, {"i": 0}), (b, {"i": 1}), (a, {"i": 2}), (c, {"i": 3}), (b, {"i": 4})]
    wanted = [(c, {"i": 3}), (b, {"i": 1}), (b, {"i": 4}), (a, {"i": 0}), (a, {"i": 2})]
    assert read(ahead._described(calls)) == wanted


def test_like_calls_are_compiled_once():
    x, y = np.ones(3), np.ones(3)
    calls = [(a, {"i": [x, x]}), (a, {"i": [y, y]}), (a, {"i": [x, y]}), (a, {"i": [x, x]})]
    assert len(ahead._described(calls)) == 2


def test_what_no_other_process_can_call_is_left_out():
    calls = [(lambda i: None, {"i": 0}), (a, {"i": 1}), (b, {"i": lambda: None})]
    assert read(ahead._described(calls)) == [(a, {"i": 1})]


def test_a_call_that_fails_does_not_end_it(monkeypatch):
    done = []

    def fails(**named):
        done.append(named)
        raise ValueError

    readers = iter([(fails, {"i": 1}), (fails, {"i": 2})])

    class Reader:
        def __init__(self, file):
            pass

        def load(self):
            try:
                return next(readers)
            except StopIteration:
                raise EOFError from None

    monkeypatch.setattr(ahead, "_Unpickler", Reader)
    monkeypatch.setattr(ahead, "set_threads", lambda threads: None)
    monkeypatch.setattr(ahead.sys, "stdin", SimpleNamespace(buffer=None))
    ahead.compile_calls()
    assert done == [{"i": 1}, {"i": 2}]


def test_zeros_are_what_a_kernel_is_compiled_for():
    x = np.ones((4, 6), np.float32)
    read_only = np.ones(3, np.int64)
    read_only.flags.writeable = False
    arrays = [x, x[:, ::2], x.T, x, read_only, np.ones((0, 3)), x[:2], x[::-1, ::-2]]
    ((_, found),) = read(ahead._described([(a, {"i": [*arrays, np.float32(0.5), None, "relu"]})]))
    for there, here in zip(found["i"], arrays, strict=False):
        assert (there.shape, there.dtype, there.strides) == (here.shape, here.dtype, here.strides)
        assert there.flags.c_contiguous == here.flags.c_contiguous
        assert there.flags.writeable == here.flags.writeable
        assert not there.any()
    assert found["i"][0] is found["i"][3]
    assert found["i"][8:] == [0.5, None, "relu"]


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
    monkeypatch.setattr(ahead, "most_parts", lambda: 2)
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
    [
        *((ahead, "most_parts", lambda: 1), (sys, "frozen", True), (sys, "executable", "")),
        (sys, "executable", "/usr/bin/blender"),
    ],
    ids=["one thread", "an application", "no interpreter", "another program"],
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
    monkeypatch.setattr(ahead, "most_parts", lambda: 2)
    with ahead.compiled_ahead([]):
        compiling("a cache")


def test_it_reads_no_modules_of_the_folder_it_is_started_in(tmp_path):
    """And entries of sys.path that are no strings, which Python passes over, are passed over."""
    (tmp_path / "random.py").write_text("raise SystemExit('the wrong one')")
    program = "import sys; from pathlib import Path; sys.path.append(Path('x'))" + THREE_CALLS
    (tmp_path / "elsewhere").mkdir()
    file = tmp_path / "elsewhere" / "program.py"
    file.write_text(program)
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    environment["PYTHONPATH"] = str(Path(ahead.__file__).parents[3])
    command = [sys.executable, str(file)]
    done = subprocess.run(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, check=True, text=True
    )
    assert json.loads(done.stdout) == [0, [], 2.0, 2.0]


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
