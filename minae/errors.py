"""The errors that a user can mend: shown by the commands as one sentence, with exit code 2."""


class MinaeError(ValueError):
    """Says what was found and what was wanted, and the remedy where there is one."""


def first_sentence(error: Exception) -> str:
    """What another library's error says, without its advice and its last full stop."""
    return str(error).split("\n")[0].split(". ")[0].rstrip(".")


class Diverged(MinaeError):
    """The loss of a training became infinite or not a number."""
