"""The study text and the oracle: every operation derived, then said in the plainest NumPy."""
