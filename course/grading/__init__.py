"""Grade what students handed in, each submission apart from the others."""
