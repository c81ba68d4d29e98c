"""A small crawl with known truth: mathematical and other pages by domain and path."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

MATHS = [
    "theorem",
    "proof",
    "lemma",
    "integral",
    "prime",
    "matrix",
    "vector",
    "group",
    "ring",
    "field",
    "polynomial",
    "root",
    "sum",
    "limit",
    "function",
    "derivative",
    "equation",
]
MATHS += [
    "triangle",
    "angle",
    "circle",
    "radius",
    "modulo",
    "divisor",
    "converges",
    "bounded",
    "continuous",
    "finite",
    "basis",
    "kernel",
    "eigenvalue",
    "hence",
    "suppose",
]
OTHERS = [
    "recipe",
    "butter",
    "oven",
    "flour",
    "garden",
    "summer",
    "holiday",
    "hotel",
    "train",
    "ticket",
    "music",
    "concert",
    "guitar",
    "season",
    "player",
    "team",
    "goal",
    "market",
]
OTHERS += [
    "price",
    "shop",
    "dress",
    "fashion",
    "review",
    "camera",
    "phone",
    "battery",
    "screen",
    "film",
    "actor",
    "scene",
    "story",
    "travel",
    "beach",
    "island",
    "city",
    "museum",
]
COMMON = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "for",
    "with",
    "as",
    "on",
    "this",
    "be",
    "are",
    "from",
    "we",
    "by",
    "which",
    "there",
    "one",
    "can",
    "all",
    "more",
    "has",
    "if",
    "will",
]
#: domain and path -> (share of its pages that are mathematical).
PLACES = {
    "mathforum.test/questions": 1.0,
    "mathforum.test/meta": 0.0,
    "wiki.test/mathematics": 1.0,
    "wiki.test/cooking": 0.0,
    "lectures.test/algebra": 1.0,
    "travel.test/hotels": 0.0,
    "sports.test/news": 0.0,
    "shop.test/items": 0.0,
}


@dataclass
class Crawl:
    """pages: URL -> text. wanted: URL -> whether it is mathematical. html: URL -> bytes, where a page is not made of its text."""

    pages: dict[str, str] = field(default_factory=dict)
    wanted: dict[str, bool] = field(default_factory=dict)
    html: dict[str, bytes] = field(default_factory=dict)

    def add(self, url: str, text: str, wanted: bool = False) -> None:
        self.pages[url], self.wanted[url] = text, wanted


def words(rng: np.random.Generator, topic: list[str], count: int) -> list[str]:
    """Words of which a third are of the topic, and numbers in a mathematical one."""
    drawn = [str(rng.choice(topic if rng.random() < 0.35 else COMMON)) for _ in range(count)]
    return [f"{word}{rng.integers(100)}" if rng.random() < 0.05 else word for word in drawn]


def text_of(rng: np.random.Generator, wanted: bool, paragraphs: int = 4) -> str:
    lines = [" ".join(words(rng, MATHS if wanted else OTHERS, int(rng.integers(25, 45)))) + "." for _ in range(paragraphs)]
    return "\n".join(lines)


def make(per_place: int = 24, seed: int = 0) -> Crawl:
    """A crawl without copies or anything planted."""
    rng, crawl = np.random.default_rng(seed), Crawl()
    for place, share in PLACES.items():
        for number in range(per_place):
            wanted = bool(rng.random() < share)
            crawl.add(f"https://{place}/{number}/page.html", text_of(rng, wanted), wanted)
    return crawl


def as_html(text: str, title: str = "A page") -> bytes:
    body = "".join(f"<p>{line.replace('&', '&amp;').replace('<', '&lt;')}</p>\n" for line in text.split("\n"))
    head = f"<html><head><meta charset='utf-8'><title>{title}</title><script>var never = 'shown';</script></head>"
    return f"{head}<body><article>{body}</article></body></html>".encode()


def write_warc(path: Path, pages: dict[str, bytes], content_type: str = "text/html; charset=utf-8") -> None:
    """A gzipped WARC of HTTP responses, without identified payload types."""
    from fastwarc.warc import WarcRecord, WarcRecordType

    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for url, html in pages.items():
            record = WarcRecord()
            record.init_headers(record_type=WarcRecordType.response)
            record.headers["WARC-Target-URI"] = url
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(html)}\r\n\r\n".encode()
            record.headers["Content-Type"] = "application/http; msgtype=response"
            record.set_bytes_content(head + html)
            whole = io.BytesIO()
            record.write(whole)
            file.write(gzip.compress(whole.getvalue(), mtime=0))  # each record a member, as crawls have it


def write(crawl: Crawl, folder: Path, files: int = 3) -> Path:
    """Write a crawl as WARC files and one file of JSON lines."""
    urls = list(crawl.pages)
    for number in range(files):
        mine = urls[number :: files + 1]
        write_warc(folder / f"part-{number}.warc.gz", {url: crawl.html.get(url) or as_html(crawl.pages[url]) for url in mine})
    lines = io.StringIO()
    for url in urls[files :: files + 1]:
        lines.write(json.dumps({"url": url, "text": crawl.pages[url], "source": "lines"}, ensure_ascii=False) + "\n")
    (folder / "pages.jsonl").write_text(lines.getvalue(), encoding="utf-8")
    return folder


def write_seed(crawl: Crawl, path: Path, count: int = 12) -> Path:
    """The first `count` mathematical URLs of one place."""
    wanted = [url for url, yes in crawl.wanted.items() if yes and "mathforum" in url]
    path.write_text("".join(f"{url}\n" for url in wanted[:count]))
    return path


def write_labels(crawl: Crawl, path: Path) -> Path:
    path.write_text("".join(f"{url}\t{int(yes)}\n" for url, yes in crawl.wanted.items()))
    return path
