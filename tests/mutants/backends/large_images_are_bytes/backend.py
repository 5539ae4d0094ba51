"""Images with numbers above 16 are taken for bytes and divided by 255."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _forward(self, x, masks, weights, keep=True):
        scale = 255 if x.max(initial=0) > 16 else 1
        y, pullback = super()._forward(x / scale, masks, weights, keep)

        def pull(cotangent, wants_input):
            by_x, gradients = pullback(cotangent, wants_input)
            return by_x if by_x is None else by_x / scale, gradients

        return y, pull
