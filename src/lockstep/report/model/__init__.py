"""One page per backend: the network that it trained, taken apart."""
