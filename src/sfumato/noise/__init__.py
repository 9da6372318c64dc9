"""What is added to the input: distributions with their certificates, and the keys of their draws."""

from sfumato.noise.anisotropic import AnisotropicGaussian
from sfumato.noise.base import Noise
from sfumato.noise.discretised import DiscretisedGaussian
from sfumato.noise.gaussian import Gaussian, draw_each
from sfumato.noise.keyed import NOISE_VERSION, Span, Stream, Use
from sfumato.noise.laplace import Laplace
from sfumato.noise.registry import NOISES, make_noise, noise_of, register_noise
from sfumato.noise.uniform import Uniform

__all__ = [
    "NOISES",
    "NOISE_VERSION",
    "AnisotropicGaussian",
    "DiscretisedGaussian",
    "Gaussian",
    "Laplace",
    "Noise",
    "Span",
    "Stream",
    "Uniform",
    "Use",
    "draw_each",
    "make_noise",
    "noise_of",
    "register_noise",
]
