"""Compiled kernels on disk: written whole, by several processes, and anew after any edit."""

import pytest

from minae.backends.cpu_numba import kernel_cache
from minae.backends.cpu_numba.kernel_cache import _KernelFiles


def files(folder, stamp="as it is"):
    return _KernelFiles(str(folder), "activations._relu-1.py311", stamp)


def test_what_is_saved_is_found(tmp_path):
    files(tmp_path).save("float32", "code")
    files(tmp_path).save("float64", "other code")
    assert files(tmp_path).load("float32") == "code"
    assert files(tmp_path).load("float64") == "other code"
    assert files(tmp_path).load("int64") is None


@pytest.mark.parametrize("killed_in", ["_save_data", "_save_index"])
def test_a_process_that_is_killed_leaves_no_wrong_kernel(tmp_path, monkeypatch, killed_in):
    """Numba's own order would leave the old kernel under the new one's name."""
    files(tmp_path, "before").save("float32", "old code")

    def kill(*arguments):
        raise SystemExit

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(_KernelFiles, killed_in, kill)
        files(tmp_path, "after").save("float32", "new code")
    assert files(tmp_path, "after").load("float32") is None
    files(tmp_path, "after").save("float32", "new code")
    assert files(tmp_path, "after").load("float32") == "new code"


def test_two_processes_that_save_at_once(tmp_path, monkeypatch):
    """One index wins; neither names the other's code."""
    other = files(tmp_path)
    save_index = _KernelFiles._save_index

    def late(self, overloads):
        monkeypatch.setattr(_KernelFiles, "_save_index", save_index)
        other.save("float64", "other code")
        save_index(self, overloads)

    monkeypatch.setattr(_KernelFiles, "_save_index", late)
    files(tmp_path).save("float32", "code")
    assert files(tmp_path).load("float32") in ("code", None)
    assert files(tmp_path).load("float64") in ("other code", None)


def test_files_of_former_kernels_are_removed(tmp_path):
    neighbour = _KernelFiles(str(tmp_path), "activations._relu-12.py311", "as it is")
    neighbour.save("float32", "of another kernel")
    for stamp in ("first", "second", "third"):
        files(tmp_path, stamp).save("float32", stamp)
    assert len(list(tmp_path.glob("*.nbc"))) == 2
    assert neighbour.load("float32") == "of another kernel"


def test_an_edit_of_any_file_is_seen(tmp_path, monkeypatch):
    (tmp_path / "vectors.py").write_text("a = 1\n")
    monkeypatch.setattr(kernel_cache, "_HERE", tmp_path)
    stamps = set()
    for text in ("a = 1\n", "a = 12\n"):
        (tmp_path / "vectors.py").write_text(text)
        kernel_cache._stamp.cache_clear()
        stamps.add(kernel_cache._stamp())
    kernel_cache._stamp.cache_clear()
    assert len(stamps) == 2
