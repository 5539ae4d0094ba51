"""Attacks, corruptions and noise: each a frozen dataclass over one function, the victim's gradient.

victim.py    pixels -> logits, and the gradient by the pixels;  losses.py  what is climbed
gradient.py  FGSM, PGD;  balls.py  the budget: norms and projections
patterns.py  one perturbation for all images;  patch.py  a sticker
noise.py, corruptions.py  what asks no network;  attack.py  what all of these share
named.py     by the names of a command line;  terminal.py  `lockstep attack`
scores.py    accuracy under attack;  honesty.py  what must hold if an attack was strong enough
noisy.py     a victim that adds noise to what it is shown
suite.py     what is measured of a finished run;  robustness.py, transfer.py  its files, for the pipeline
"""
