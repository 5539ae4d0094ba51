"""Images, labels and every random number of a run."""
