"""The maintainer's and instructor's tools. Students never need them."""
