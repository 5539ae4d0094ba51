"""The readable reference: what the layers are, as definitions one can check by hand."""

from .convolution import *
from .layers import *
