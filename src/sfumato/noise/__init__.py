"""What is added to the input: distributions with their certificates, and the keys of their draws."""

from sfumato.noise.base import Noise
from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import keyed_generator, keyed_generators
from sfumato.noise.laplace import Laplace
from sfumato.noise.registry import NOISES, make_noise, register_noise
from sfumato.noise.uniform import Uniform

__all__ = [
    "NOISES",
    "Gaussian",
    "Laplace",
    "Noise",
    "Uniform",
    "keyed_generator",
    "keyed_generators",
    "make_noise",
    "register_noise",
]
