"""logits takes images 128 at a time and forgets what is left over."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))

CHUNK = 128


class Mutant(Numpy):
    def logits(self, images, masks=None):
        logits = super().logits(images, masks)
        if len(images) > CHUNK:
            logits[len(images) // CHUNK * CHUNK :] = 0
        return logits
