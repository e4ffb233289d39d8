"""Make the embedded data and networks again."""
