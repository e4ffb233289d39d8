"""The course as a web site: build it, and check what was built."""
