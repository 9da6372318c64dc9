"""What is added to the input: distributions, and the keys their draws are made from."""

from sfumato.noise.gaussian import Gaussian
from sfumato.noise.keyed import NOISE_VERSION, Run, Stream, Use

__all__ = ["NOISE_VERSION", "Gaussian", "Run", "Stream", "Use"]
