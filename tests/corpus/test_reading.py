"""From files to pages: WARC, JSON lines and HTML folders; hostile pages cost little and break nothing; copies are found."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("fastwarc", reason="the extra corpus is not installed")
pytest.importorskip("resiliparse", reason="the extra corpus is not installed")
pytest.importorskip("rensa", reason="the extra corpus is not installed")

from crawl import MATHS, as_html, text_of, words, write_warc

from unified_rl.base.errors import DataError
from unified_rl.corpus.duplicates import copies
from unified_rl.corpus.extraction import depth, language, tidy
from unified_rl.corpus.inputs import inputs_of
from unified_rl.corpus.pages import make_shard
from unified_rl.corpus.settings import CorpusConfig, Duplicates
from unified_rl.corpus.shards import read_pages
from unified_rl.corpus.urls import domain, path_prefix, spelled

CONFIG = CorpusConfig()
ENGLISH = (
    "This is a page on the theory of groups, and it says enough of them to be kept by those who read it, we hope and trust."
)
CHINESE = "这是一个关于群论的网页，里面写了足够多的内容，所以读它的人会把它留下来。" * 4


def shard_of(path, tmp_path, config=CONFIG):
    """(pages, facts) of a file's shard."""
    (one,) = inputs_of(str(path), "data.path")
    folder = tmp_path / "000000"
    make_shard(one, config, folder)
    return list(read_pages(folder)), json.loads((folder / "facts.json").read_text())["read or dropped"]


def test_the_three_kinds_of_files_give_the_same_page(tmp_path):
    text = text_of(np.random.default_rng(0), True)
    write_warc(tmp_path / "a.warc.gz", {"https://a.test/x/y.html": as_html(text)})
    (tmp_path / "b.jsonl").write_text(json.dumps({"url": "https://a.test/x/y.html", "html": as_html(text).decode()}) + "\n")
    (tmp_path / "c.jsonl.gz").write_bytes(
        gzip.compress((json.dumps({"url": "https://a.test/x/y.html", "text": text}) + "\n").encode())
    )
    (tmp_path / "h" / "a.test" / "x").mkdir(parents=True)
    (tmp_path / "h" / "a.test" / "x" / "y.html").write_bytes(as_html(text))
    found = [shard_of(tmp_path / name, tmp_path / f"out{name}")[0] for name in ("a.warc.gz", "b.jsonl", "c.jsonl.gz", "h")]
    assert [[page.url for page in pages] for pages in found] == [["https://a.test/x/y.html"]] * 4
    assert {" ".join(page.text.split()) for pages in found for page in pages} == {" ".join(text.split())}
    assert {(page.language, page.tokens) for pages in found for page in pages} == {("en", len(text.split()))}


def test_hostile_pages_are_counted_and_the_others_come_through(tmp_path):
    huge = b"<html><body>" + b"<p>filler filler</p>" * 500_000 + b"</body></html>"  # 10 MB; the limit is 4 MB
    hostile = {
        "https://h.test/huge": huge,
        "https://h.test/deep": b"<html><body>" + b"<div>" * 50_000 + ENGLISH.encode() + b"</div>" * 50_000,
        "https://h.test/unclosed": b"<p><b>" * 100_000 + ENGLISH.encode(),
        "https://h.test/nul": ENGLISH.replace(" ", "\x00 \x1b[31m").encode(),
        "https://h.test/bytes": bytes(range(256)) * 50,
        "https://h.test/latin": as_html(ENGLISH + " \xe9t\xe9").decode().replace("utf-8", "latin-1").encode("latin-1"),
        "https://h.test/script": b"<script>" + b"while(1);" * 9000 + b"</script>",
        "https://h.test/empty": b"",
        "https://h.test/tags": b"<" * 100_000 + ENGLISH.encode(),
        "https://h.test/attributes": b"<a " + b"x=y " * 100_000 + b">" + ENGLISH.encode() + b"</a>",
        "https://h.test/good": as_html(ENGLISH),
        "https://h.test/a\nb\x1b": as_html(ENGLISH + " again"),
    }
    (tmp_path / "w").mkdir()
    write_warc(tmp_path / "w" / "a.warc.gz", {url: html for url, html in hostile.items() if "\n" not in url})
    with (tmp_path / "w" / "b.jsonl").open("wb") as file:
        file.write(
            json.dumps({"url": "https://h.test/a\nb\x1b", "html": hostile["https://h.test/a\nb\x1b"].decode()}).encode() + b"\n"
        )
        file.write(b'{"url": "https://h.test/long", "text": "' + b"x" * 30_000_000 + b'"}\n')
        file.write(b"[" * 100_000 + b"\n" + b"{}\nnot json\n\xff\xfe\n" + b'{"url": 3, "text": []}\n')
        file.write(json.dumps({"url": "https://h.test/last", "text": ENGLISH + "\ud800"}).encode() + b"\n")
    pages, counts = [], Counter()
    for number, one in enumerate(inputs_of(str(tmp_path / "w"), "data.path")):
        make_shard(one, CONFIG, tmp_path / "out" / f"{number:06d}")
        pages += read_pages(tmp_path / "out" / f"{number:06d}")
        counts.update(json.loads((tmp_path / "out" / f"{number:06d}" / "facts.json").read_text())["read or dropped"])
    urls = [page.url for page in pages]
    assert counts["too large"] == 2 and counts["nested too deeply"] >= 1 and counts["no record"] == 5
    assert {"https://h.test/good", "https://h.test/latin", "https://h.test/ab\x1b", "https://h.test/last"} <= set(urls)
    assert not {"https://h.test/huge", "https://h.test/deep", "https://h.test/script", "https://h.test/empty"} & set(urls)
    assert not any("\x00" in page.text or "\x1b" in page.text or "while(1)" in page.text for page in pages)
    assert "été" in next(page.text for page in pages if page.url.endswith("latin"))


@pytest.mark.long
def test_a_page_of_100_megabytes_is_passed_over_in_the_memory_of_a_small_one(tmp_path):
    write_warc(
        tmp_path / "a.warc.gz", {"https://h.test/huge": b"<p>" + b"x" * 100_000_000, "https://h.test/good": as_html(ENGLISH)}
    )
    tracemalloc.start()
    pages, counts = shard_of(tmp_path / "a.warc.gz", tmp_path / "out")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [page.url for page in pages] == ["https://h.test/good"] and counts["too large"] == 1
    assert most < 30e6


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: data[:60] + b"\x00" * 40 + data[100:]])
def test_a_damaged_archive_is_named(tmp_path, damage):
    write_warc(tmp_path / "a.warc.gz", {"https://a.test/x": as_html(text_of(np.random.default_rng(0), True, 200))})
    path = tmp_path / "a.warc.gz"
    path.write_bytes(damage(path.read_bytes()))
    try:
        pages, _ = shard_of(path, tmp_path / "out")
        assert len(pages) <= 1  # readers of archives look for the next record
    except DataError as error:
        assert "a.warc.gz" in str(error)


def test_a_folder_without_pages_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("no page")
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=r"data\.path"):
            inputs_of(str(path), "data.path")


def test_languages_by_script_and_by_words():
    assert [
        language(text)
        for text in (ENGLISH, CHINESE, "これは群論についてのページです。" * 5, "이것은 군론에 관한 페이지입니다. " * 5)
    ] == ["en", "zh", "ja", "ko"]
    assert tidy("a\x00b  \r\n\r\n\r\n\r\nc\ud800") == "ab\n\nc"
    assert depth("<p>" * 1000 + "<br>" * 1000) == 0 and depth("<div>" * 1000) == 1000


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://WWW.A.test:443/x//y/?b=2&a=1&utm_source=z#top", "a.test/x/y?a=1&b=2"),
        ("http://a.test/x/index.html", "a.test/x"),
        ("http://a.test:8080/", "a.test:8080"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_spelling_of_urls(url, same):
    assert spelled(url) == same


def test_paths_that_are_marked():
    assert path_prefix("https://mathoverflow.net/questions/12/title", 1) == "mathoverflow.net/questions"
    assert (
        path_prefix("https://mathoverflow.net/questions", 1)
        == path_prefix("https://mathoverflow.net/", 1)
        == "mathoverflow.net"
    )
    assert path_prefix("https://a.test/x/y/z.html?q=/1", 2) == "a.test/x/y" and domain("https://a.test/x") == "a.test"


def write_pages(folder, texts, urls, parts):
    """Shards of pages; how they are divided."""
    for number, at in enumerate(np.array_split(np.arange(len(texts)), parts)):
        lines = [json.dumps({"url": urls[place], "text": texts[place]}) + "\n" for place in at]
        path = folder / f"{number}.jsonl"
        path.write_text("".join(lines))
        make_shard(inputs_of(str(path), "data.path")[0], CONFIG, folder / f"{number:06d}")
    return sorted(path for path in folder.iterdir() if path.is_dir())


def test_copies_are_found_however_pages_are_divided(tmp_path):
    rng = np.random.default_rng(5)
    originals = [" ".join(words(rng, MATHS, 300)) for _ in range(40)]
    changed = []
    for text in originals:
        new = text.split()
        for place in rng.choice(len(new), size=3, replace=False):
            new[place] = "different"
        changed.append(" ".join(new))
    texts = [*originals, *changed, *originals[:5]]
    urls = [f"https://a.test/{number}/p" for number in range(80)] + [f"http://www.a.test/{number}/p/#x" for number in range(5)]
    found = []
    for parts, partitions in ((1, 1), (4, 1), (4, 7)):
        folder = tmp_path / f"{parts}-{partitions}"
        folder.mkdir()
        found.append(copies(write_pages(folder, texts, urls, parts), partitions))
    by_url, by_band = found[0]
    assert all((one == by_url).all() and (two == by_band).all() for one, two in found)
    assert by_url.tolist() == [False] * 80 + [True] * 5
    assert not by_band[:40].any() and by_band[40:80].sum() >= 38 and by_band[80:].all()


def test_the_first_of_a_chain_of_copies_is_kept(tmp_path):
    keys = [[1, 10, 20], [2, 11, 20], [3, 11, 21], [3, 12, 22], [4, 13, 23]]
    (tmp_path / "000000").mkdir()
    np.save(tmp_path / "000000" / "keys.npy", np.array(keys, np.uint64))
    np.save(tmp_path / "000000" / "tokens.npy", np.zeros(5, np.int32))
    by_url, by_band = copies([tmp_path / "000000"], 2)
    assert by_url.tolist() == [False, False, False, True, False] and by_band.tolist() == [False, True, True, False, False]


def test_settings_of_signatures_must_fit():
    with pytest.raises(ValueError, match="not a multiple"):
        Duplicates(permutations=100, bands=14)
