"""The page of times: speed.html."""
