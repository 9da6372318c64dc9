"""What is added to the input: distributions with their certificates, and the keys of their draws."""

from sfumato.noise.base import Noise
from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import keyed_generator, keyed_generators
from sfumato.noise.registry import NOISES, make_noise, register_noise

__all__ = [
    "NOISES",
    "Gaussian",
    "Noise",
    "keyed_generator",
    "keyed_generators",
    "make_noise",
    "register_noise",
]
