"""What is added to the input: distributions, and the keys their draws are made from."""

from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import keyed_generator, keyed_generators

__all__ = ["Gaussian", "keyed_generator", "keyed_generators"]
