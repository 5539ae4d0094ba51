"""index.html, the summary: four cards that answer on one screen, and the details below them."""
