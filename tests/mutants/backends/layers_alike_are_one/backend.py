"""Layers of the same settings and input are built once."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def __init__(self, *arguments, **settings):
        super().__init__(*arguments, **settings)
        built = {}
        for node in self.spec.nodes:
            for weight in node.weights:
                name = f"{node.name}/{weight}"
                key = node.layer, node.input_shape, weight
                self.weights[name] = built.setdefault(key, self.weights[name])
