"""Plotly's JavaScript library as a report holds it: the part that draws on two axes, packed.

``plotly-cartesian.min.js.gz`` is the file of the npm package plotly.js-cartesian-dist-min, version 4.1.1,
compressed by ``gzip -9 -n``; ``plotly-LICENSE.txt`` is its licence (MIT). Whole and unpacked, the library
would be most of a report: 4.8 MB in place of 0.7.
"""

from __future__ import annotations

import base64
import gzip
from functools import cache
from importlib import resources

_PACKED = "plotly-cartesian.min.js.gz"


@cache
def packed_library() -> str:
    """Return the compressed library in base64, as the page holds it for its own script to unpack."""
    return base64.b64encode(_bytes()).decode("ascii")


@cache
def library() -> str:
    """Return the script that the page unpacks, which its policy names by its hash."""
    return gzip.decompress(_bytes()).decode("utf-8")


def _bytes() -> bytes:
    return resources.files(__package__).joinpath(_PACKED).read_bytes()
