"""What the settings do: the content of effects.html.  Start reading at page.py."""
