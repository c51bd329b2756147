"""The errors that a user can mend: shown by the commands as one sentence, with exit code 2."""


class MinaeError(ValueError):
    """Says what was found and what was wanted, and the remedy where there is one."""


class Diverged(MinaeError):
    """The loss of a training became infinite or not a number."""
