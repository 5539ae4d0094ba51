"""The pullback takes images 32 at a time and forgets what is left over."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))
CHUNK = 32


class Mutant(Numpy):
    def vjp(self, images, masks=None):
        logits, pullback = super().vjp(images, masks)

        def in_chunks(cotangent):
            by_input = pullback(cotangent)
            if len(images) > CHUNK:
                by_input[len(images) // CHUNK * CHUNK :] = 0
            return by_input

        return logits, in_chunks
