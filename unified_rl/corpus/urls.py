"""Addresses: the one spelling of a URL, its domain, and the paths that a person marks."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import numpy as np

#: Parameters that say where a reader came from, and name no other page.
TRACKING = re.compile(r"utm_\w+|fbclid|gclid|ref|sessionid|phpsessid", re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_CONTROL = re.compile(r"[\x00-\x20\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def spelled(url: str) -> str:
    """A URL in the one spelling by which copies are known.

    Scheme and `www.` are left out, the host is in lower case, the fragment, tracking parameters, the default port, a closing slash
    and `index.html` go, the other parameters are sorted. What is no URL is only stripped of spaces and control characters.
    """
    url = _CONTROL.sub("", url)
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removeprefix("www.")
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return url
    if port == _DEFAULT_PORTS.get(parts.scheme):
        port = ""
    path = re.sub(r"/(?:index\.(?:html?|php))?$", "", re.sub(r"/{2,}", "/", parts.path))
    query = urlencode(sorted((key, value) for key, value in parse_qsl(parts.query) if not TRACKING.fullmatch(key)))
    return f"{host}{port}{path}" + (f"?{query}" if query else "")


def domain(url: str) -> str:
    """The base URL of a page, by which the paper groups pages: the host of its one spelling."""
    return spelled(url).partition("/")[0].partition("?")[0]


def path_prefix(url: str, depth: int) -> str:
    """Domain and the first `depth` folders or files of the path: `mathoverflow.net/questions`; what a person marks.

    A page that lies less deep belongs to the prefix of its folder, as does the last part of a path: `a.org/x.html` to `a.org`.
    """
    bare = unquote(spelled(url).partition("?")[0])
    parts = _CONTROL.sub("", bare).split("/")
    return "/".join(parts[: 1 + min(depth, max(len(parts) - 2, 0))])


def url_keys(urls: list[str]) -> np.ndarray:
    """64-bit hashes of URLs in their one spelling, as uint64 [n]."""
    from xxhash import xxh3_64_intdigest

    return np.array([xxh3_64_intdigest(spelled(url).encode("utf-8", "replace")) for url in urls], dtype=np.uint64)


def priorities(keys: np.ndarray, seed: int) -> np.ndarray:
    """A pseudo-random uint64 for each key, the same wherever the page lies: SplitMix64 (Steele et al. 2014) of key and seed."""
    z = keys.astype(np.uint64) ^ np.uint64(seed)
    with np.errstate(over="ignore"):
        z = z + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def below(keys: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Whether each key falls into a share of all keys, drawn by `seed`: bool [n]."""
    return (priorities(keys, seed) >> np.uint64(11)).astype(np.float64) / 2**53 < share
