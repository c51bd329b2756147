"""Changes of what a recorded step was made from."""

from typing import Any, ClassVar


class Watched:
    """Base of models, layers and optimizers: counts how often an attribute of any of them was set.

    A recorded step holds numbers as they were, a beta, a dropout's p, a max_norm: `Training`
    records it anew once the count has changed. Names that begin with _ are not counted, nor those
    in `uncounted`, which each step sends to the device.
    """

    changes: ClassVar[int] = 0
    uncounted: ClassVar[tuple[str, ...]] = ()

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        if not name.startswith("_") and name not in self.uncounted:
            Watched.changes += 1
