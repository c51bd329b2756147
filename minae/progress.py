"""How far a training has come: a bar on a terminal, plain lines elsewhere, nothing if quiet."""

import sys
import time
from types import TracebackType

from tqdm import tqdm

from minae.training import Training

REFRESH = 0.25  # seconds between two looks at the loss
LINES = 5.0  # least seconds between two plain lines


class Progress:
    """A context manager around the training loop."""

    def __init__(self, steps: int, unit: str, *, quiet: bool) -> None:
        self.steps, self.unit, self.first = steps, unit, 0
        self.terminal = sys.stderr.isatty() and not quiet
        self.plain = not self.terminal and not quiet
        self.begin = self.last_line = self.last_look = time.perf_counter()
        self.bar = tqdm(
            total=steps,
            unit="step",
            disable=not self.terminal,
            dynamic_ncols=True,
            desc="first step (compiling)",
        )

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.bar.close()

    def begin_at(self, step: int) -> None:
        """Where a training begins that goes on with an earlier one."""
        self.first = step
        self.bar.update(step)

    def step(self, training: Training) -> None:
        """After each step; looks at the loss (which may wait for a device) a few times a second."""
        self.bar.update()
        if training.optimizer.steps_done == self.first + 1:
            self.bar.set_description(f"epoch {training.epoch + 1}")
        now = time.perf_counter()
        if now - self.last_look < REFRESH:
            return
        self.last_look = now
        loss = training.loss()
        if self.terminal:
            self.bar.set_description(f"epoch {training.epoch + 1}", refresh=False)
            self.bar.set_postfix_str(f"loss {loss:.4g} {self.unit}")

    def say(self, sentence: str) -> None:
        """A remark of its own line."""
        if self.terminal:
            self.bar.write(sentence, file=sys.stderr)
        elif self.plain:
            print(sentence, flush=True)

    def epoch(self, epoch: int, step: int, train: float, test: float, rate: float) -> None:
        """After each epoch: its mean training loss, the test loss, samples a second."""
        now = time.perf_counter()
        if not self.plain or (now - self.last_line < LINES and step < self.steps):
            return
        self.last_line = now
        left = (now - self.begin) / (step - self.first) * (self.steps - step)
        print(
            f"epoch {epoch}, step {step:,}/{self.steps:,}: loss {train:.5g} train, {test:.5g} test "
            f"({self.unit}), {rate:,.0f} samples/s, {left:.0f} s left",
            flush=True,
        )
