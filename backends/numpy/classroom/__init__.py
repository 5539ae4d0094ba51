"""The readable reference: what the layers are, as definitions one can check by hand.

`convolution` holds the one- and two-dimensional primitives, `layers` the layers and their gradients.
"""
