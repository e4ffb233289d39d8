"""Faults of use, tried one by one: odd files, odd machines, damaged caches, hostile answers. Each test is a fault."""
