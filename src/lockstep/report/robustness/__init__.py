"""The page of results under attack: robustness.html."""
