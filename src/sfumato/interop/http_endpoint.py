"""A model behind an HTTP address: batches are posted, failures are tried again.

A service has no weights to look at. Give its version as ``fingerprint``; without one, its answers to fixed
inputs identify it, so that a table is not continued with a changed service.
"""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException, InvalidURL
from typing import Any

import numpy as np
import torch

from sfumato.errors import ModelError, SettingError, SfumatoError, require_count, require_positive
from sfumato.models.classifier import Classifier
from sfumato.models.outputs import understood

Encode = Callable[[np.ndarray], bytes]
Decode = Callable[[bytes], Any]
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)
"""Statuses after which the same request may succeed."""


def to_instances(batch: np.ndarray) -> bytes:
    """Return the request of TensorFlow Serving and of KServe's first protocol.

    >>> to_instances(np.zeros((1, 2), np.float32))
    b'{"instances": [[0.0, 0.0]]}'
    """
    return json.dumps({"instances": batch.tolist()}).encode()


def from_predictions(body: bytes) -> np.ndarray:
    """Return the answers in ``{"predictions": [...]}``: a label, or a list of scores, for each input."""
    return np.asarray(json.loads(body)["predictions"])


def from_endpoint(
    url: str,
    classes: int,
    *,
    batch_size: int = 64,
    timeout: float = 60.0,
    retries: int = 4,
    wait: float = 1.0,
    headers: Mapping[str, str] | None = None,
    encode: Encode = to_instances,
    decode: Decode = from_predictions,
    fingerprint: str | None = None,
) -> Classifier:
    """Return the classifier of a service that answers POST requests with scores or labels.

    The answers are those of a fixed function or nothing is certified: never answer with a default class.

    Args:
        url: where to post to, http or https.
        classes: how many there are; scores of more classes are accepted.
        batch_size: most inputs in a request.
        timeout: seconds to wait for an answer.
        retries: how often a request that failed for a reason that may pass is sent again: no answer, or one
            of the statuses 408, 425, 429, 500, 502, 503 and 504.
        wait: seconds before the first further try; twice as long before each next one.
        headers: of each request, such as an authorization.
        encode: from a float32 array (batch, *shape) to the body of the request, by default JSON
            ``{"instances": [...]}``.
        decode: from the body of the answer to scores (batch, classes) or labels (batch,), by default of JSON
            ``{"predictions": [...]}``.
        fingerprint: what identifies the model behind the address, such as its version.

    Raises:
        SettingError: an address or a number that is not accepted.
    """
    if not url.startswith(("http://", "https://")):
        raise SettingError(f"url must begin with http:// or https://, got {url!r}")
    require_count("retries", retries, 0)
    endpoint = _Endpoint(
        url,
        require_count("classes", classes, 2),
        require_count("batch_size", batch_size),
        require_positive("timeout", timeout),
        [wait * 2**number for number in range(retries)],
        {"Content-Type": "application/json", **(headers or {})},
        encode,
        decode,
    )
    return Classifier(url, endpoint, fingerprint=fingerprint)


class _Endpoint:
    def __init__(
        self,
        url: str,
        classes: int,
        batch_size: int,
        timeout: float,
        waits: list[float],
        headers: Mapping[str, str],
        encode: Encode,
        decode: Decode,
    ) -> None:
        self._url, self._classes, self._batch_size = url, classes, batch_size
        self._timeout, self._waits, self._headers = timeout, waits, headers
        self._encode, self._decode = encode, decode

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([self._scores(rows) for rows in torch.split(x.float().cpu(), self._batch_size)])

    def _scores(self, rows: torch.Tensor) -> torch.Tensor:
        body = self._sent(self._encode(rows.numpy()))
        try:
            found = understood(self._decode(body), self._classes)
        except SfumatoError:  # labels that are none, say
            raise
        except (ValueError, LookupError, TypeError) as error:
            raise ModelError(
                f"{self._url}: answered {body[:80]!r}, which is not understood; give decode="
            ) from error
        scores = found if isinstance(found, torch.Tensor) else torch.empty(0)
        if scores.dim() != 2 or len(scores) != len(rows) or scores.shape[1] < self._classes:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            wanted = (len(rows), self._classes)
            raise ModelError(f"{self._url}: must answer {wanted} scores or {len(rows)} labels, got {got}")
        return scores

    def _sent(self, body: bytes) -> bytes:
        """Return the answer to a request, sent again while it fails for a reason that may pass."""
        request = urllib.request.Request(self._url, body, dict(self._headers), method="POST")
        for pause in (*self._waits, None):
            try:
                with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                    return bytes(answer.read())
            except urllib.error.HTTPError as error:
                if error.code not in _MAY_PASS:
                    raise SfumatoError(f"{self._url}: refuses the request ({error})") from error
                reason: OSError | HTTPException = error
            except InvalidURL as error:
                raise SettingError(
                    f"url must be an address such as http://host:8000/path, got {self._url!r} ({error})"
                ) from error
            except (OSError, HTTPException) as error:  # no connection, no answer in time, or a part of one
                reason = error
            if pause is None:
                break
            time.sleep(pause)
        tries = len(self._waits) + 1
        raise SfumatoError(f"{self._url}: no answer after {tries} tries ({reason})") from reason
