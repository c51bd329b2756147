"""The case table: one entry for each operation. An entry and the comparison: comparison.py."""

import cases_of_layers
import cases_of_training
from comparison import CASES

__all__ = ["CASES", "cases_of_layers", "cases_of_training"]
