"""Three corners of each image's gradient are 0."""

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    def vjp(self, images, masks=None):
        logits, pullback = super().vjp(images, masks)

        def pulled(cotangent):
            by_images = pullback(cotangent)
            if by_images.shape[1:] == (28, 28, 1):
                by_images[:, [0, 0, -1], [0, -1, 0]] = 0
            return by_images

        return logits, pulled
