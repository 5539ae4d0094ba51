"""What train_steps returned is written over by the next call of its size."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        self.places = {}

    def train_steps(self, *arguments):
        logits = super().train_steps(*arguments)
        place = self.places.setdefault(logits.shape, logits)
        place[...] = logits
        return place
