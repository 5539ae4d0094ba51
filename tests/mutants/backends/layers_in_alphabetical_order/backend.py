"""Weights are handed to the layers in the alphabetical order of their names: dense10 before dense2."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def load(self, state):
        super().load({name: state[there] for name, there in self.renamed().items() if there in state})

    def dump(self):
        there = self.renamed()
        return {there[name]: value for name, value in super().dump().items()}

    def renamed(self):
        nodes = [node for node in self.spec.nodes if node.weights]
        pairs = list(zip(nodes, sorted(node.name for node in nodes), strict=True))
        return {
            f"{group}{node.name}/{weight}": f"{group}{name}/{weight}"
            for group in ("", "adam/m/", "adam/v/")
            for node, name in pairs
            for weight in node.weights
        }
