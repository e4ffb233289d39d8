"""Look over a machine, and say what to repair."""
