"""The proof that a backend is in step with the reference."""
