"""Breaks the maths on purpose, one mutant at a time, and counts how many the test suite notices."""
