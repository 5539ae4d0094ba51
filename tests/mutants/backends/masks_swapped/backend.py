"""Each dropout takes the next one's mask where it has the shape."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def _forward(self, x, masks, weights, keep=True):
        if masks:
            names = list(masks)
            others = dict(zip(names, names[1:] + names[:1], strict=True))
            masks = {n: masks[o] if masks[o].shape == masks[n].shape else masks[n] for n, o in others.items()}
        return super()._forward(x, masks, weights)
