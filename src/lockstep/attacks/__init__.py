"""Attacks, corruptions and noise: each a frozen dataclass over one function, the victim's gradient.

victim.py    pixels -> logits, and the gradient by the pixels;  losses.py  what is climbed
gradient.py  FGSM, PGD;  balls.py  the budget: norms and projections
apgd.py, fab.py, square.py  the parts of the field's standard;  autoattack.py  all of them, in order
standing.py  which images still stand, so that no others are attacked
patterns.py  one perturbation for all images;  patch.py  a sticker
noise.py, corruptions.py  what asks no network;  attack.py  what all of these share
named.py     by the names of a command line;  terminal.py  `lockstep attack`
scores.py    accuracy under attack;  honesty.py  what must hold if an attack was strong enough
strength.py  which checks the accuracies of a network allow, and which numbers they make upper bounds
noisy.py     a victim that adds noise to what it is shown
suite.py     what is measured of a finished run;  robustness.py, transfer.py  its files, for the pipeline
"""
