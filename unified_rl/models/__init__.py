"""Models: building, loading and saving, their passes over packed rows, and what each role computes in them."""
