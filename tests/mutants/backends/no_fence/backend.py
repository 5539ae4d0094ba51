"""Works in a thread, and synchronize does not wait for it."""

import threading

from lockstep import discovery

api = 1
Numpy = discovery.load(discovery.find("numpy"))


class Mutant(Numpy):
    thread = None

    def train_steps(self, *arguments):
        found, work = [], super().train_steps
        self.thread = threading.Thread(target=lambda: found.append(work(*arguments)))
        self.thread.start()
        return Later(self.thread, found)

    def dump(self):
        if self.thread:
            self.thread.join()
        return super().dump()


class Later:
    def __init__(self, thread, found):
        self.thread, self.found = thread, found

    def __array__(self, dtype=None, copy=None):
        self.thread.join()
        return self.found[0]
