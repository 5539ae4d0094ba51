"""How fast the backends are: phases of one process each, in interleaved rounds; see docs/speed.md."""
