"""What can be set of a corpus: one dataclass per step, with ranges. `configs/NAME.yaml` are named wholes."""

from __future__ import annotations

from dataclasses import dataclass, field

from unified_rl.base.errors import ConfigError
from unified_rl.config.ranges import at_least, between, not_negative, one_of, positive

EXECUTORS = ("local", "ray", "slurm")
ANNOTATORS = ("person", "labels", "nobody")


@dataclass
class Data:
    """What there is to read.

    path: a WARC, JSON-lines or HTML file, or a folder of them; in JSON lines a page is `url` with `html` or `text`. seed: the
    first positive pages: a .txt of URLs of the crawl, or JSON lines of pages from elsewhere. labels: a .tsv of URL and 1 or 0,
    where it is known which pages belong; they measure, and stand in for the annotator with annotation.by=labels. held_out: share of
    the pages, drawn by their URLs, that is never trained on nor marked, and on which precision and recall are measured.
    """

    path: str = ""
    seed: str = ""
    labels: str = ""
    held_out: float = 0.0

    def __post_init__(self) -> None:
        between("data.held_out", self.held_out, 0.0, 0.9)


@dataclass
class Extraction:
    """From a page's bytes to its text.

    max_bytes: of a page; larger ones are dropped. max_depth: of nested elements; deeper pages are dropped. min_characters: of the
    text; shorter ones are dropped. content: main leaves out navigation and the like, all keeps every visible text. languages: to
    keep (en, zh, de, ...); none = all. tokenizer: folder or tokenizer.json by which tokens are counted; none = a token is a gram.
    """

    max_bytes: int = 4_000_000
    max_depth: int = 500
    min_characters: int = 100
    content: str = "main"
    languages: list[str] = field(default_factory=list)
    tokenizer: str = ""

    def __post_init__(self) -> None:
        at_least("extraction.max_bytes", self.max_bytes, 1)
        at_least("extraction.max_depth", self.max_depth, 1)
        at_least("extraction.min_characters", self.min_characters, 1)
        one_of("extraction.content", self.content, ("main", "all"))


@dataclass
class Duplicates:
    """Which pages are copies: of the same URL, or alike by MinHash of their shingles (Broder 1997), in bands.

    permutations: of a signature. bands: that it is divided into; pages that share one are copies. shingle: grams of a shingle.
    partitions: passes over the keys, each of which holds this share of them in memory.
    """

    permutations: int = 112
    bands: int = 14
    shingle: int = 5
    partitions: int = 1

    def __post_init__(self) -> None:
        for name in ("permutations", "bands", "shingle", "partitions"):
            at_least(f"duplicates.{name}", getattr(self, name), 1)
        if self.permutations % self.bands:
            raise ConfigError(
                f"duplicates.permutations={self.permutations} is not a multiple of duplicates.bands={self.bands}; change one"
            )


@dataclass
class Classifier:
    """What tells the wanted pages from others.

    name: fasttext, or FILE.py:NAME of your own (`unified_rl.corpus.classifier.Classifier`). dim: of a vector. learning_rate: at the
    start. epochs: passes. word_ngrams: longest n-gram of words. min_count: of a word. buckets: for n-grams. characters: of a page
    that are read. threads: one gives the same bytes every time, several do not.
    """

    name: str = "fasttext"
    dim: int = 256
    learning_rate: float = 0.1
    epochs: int = 3
    word_ngrams: int = 3
    min_count: int = 3
    buckets: int = 2_000_000
    characters: int = 4000
    threads: int = 1

    def __post_init__(self) -> None:
        positive("classifier.learning_rate", self.learning_rate)
        for name in ("dim", "epochs", "word_ngrams", "min_count", "buckets", "characters", "threads"):
            at_least(f"classifier.{name}", getattr(self, name), 1)


@dataclass
class Recall:
    """The rounds.

    rounds: at most. positives, negatives: pages that a classifier is trained on, at most. tokens: of the best pages that a round
    keeps; several are of the rounds in turn, the last of all later ones. stop_overlap: share of a round's pages that were kept
    in the last round already, at which the rounds end. domain_share: of a domain's pages that must be kept for its paths to be
    looked at (more than this). next_seed: what joins the seed: annotated, pages under marked paths; or collected, the kept too.
    """

    rounds: int = 4
    positives: int = 500_000
    negatives: int = 500_000
    tokens: list[int] = field(default_factory=lambda: [1_000_000])
    stop_overlap: float = 0.98
    domain_share: float = 0.1
    next_seed: str = "annotated"

    def __post_init__(self) -> None:
        for name in ("rounds", "positives", "negatives"):
            at_least(f"recall.{name}", getattr(self, name), 1)
        if not self.tokens:
            raise ConfigError("recall.tokens is empty; give how many tokens a round keeps")
        for tokens in self.tokens:
            at_least("recall.tokens", tokens, 1)
        between("recall.stop_overlap", self.stop_overlap, 0.0, 1.01)
        between("recall.domain_share", self.domain_share, 0.0, 1.0)
        one_of("recall.next_seed", self.next_seed, ("annotated", "collected"))


@dataclass
class Annotation:
    """Who marks URL paths of domains that are mathematical.

    by: person, in annotations.tsv; labels, by data.labels; nobody. depth: segments of a path below the domain. most: paths that are
    asked about in a round. purity: share of wanted pages at which labels mark a path. error: share of its marks that are wrong.
    """

    by: str = "person"
    depth: int = 1
    most: int = 500
    purity: float = 0.8
    error: float = 0.0

    def __post_init__(self) -> None:
        one_of("annotation.by", self.by, ANNOTATORS)
        at_least("annotation.depth", self.depth, 0)
        at_least("annotation.most", self.most, 1)
        between("annotation.purity", self.purity, 0.0, 1.0)
        between("annotation.error", self.error, 0.0, 1.0)


@dataclass
class Decontamination:
    """What is taken out because a benchmark holds it.

    benchmarks: name of a task -> its data (a folder, a file or hub:OWNER/NAME); their test splits are read. grams: of a run that is
    too long to be chance; segments that hold one are dropped. shortest: grams of the shortest text that is looked for as a whole;
    pages that hold one are dropped. segment: line, or paragraph (blank lines between).
    """

    benchmarks: dict[str, str] = field(default_factory=dict)
    grams: int = 10
    shortest: int = 3
    segment: str = "line"

    def __post_init__(self) -> None:
        at_least("decontamination.grams", self.grams, 2)
        at_least("decontamination.shortest", self.shortest, 1)
        one_of("decontamination.segment", self.segment, ("line", "paragraph"))


@dataclass
class Cluster:
    """Where the steps over shards run.

    workers: at a time. address: of a Ray cluster; none = one on this machine. partition, hours, memory_gb: of a Slurm job.
    """

    workers: int = 1
    address: str = ""
    partition: str = "cpu"
    hours: float = 24.0
    memory_gb: int = 8

    def __post_init__(self) -> None:
        at_least("cluster.workers", self.workers, 1)
        not_negative("cluster.hours", self.hours)
        at_least("cluster.memory_gb", self.memory_gb, 1)


@dataclass
class CorpusConfig:
    """A corpus.

    corpus: named settings, or a YAML file. run_dir: folder that everything is written to. seed: of all draws. tokenizer: of the
    token files; none = extraction.tokenizer. executor: local, or ray or slurm by datatrove.
    """

    corpus: str = "small"
    run_dir: str = ""
    seed: int = 0
    tokenizer: str = ""
    executor: str = "local"
    data: Data = field(default_factory=Data)
    extraction: Extraction = field(default_factory=Extraction)
    duplicates: Duplicates = field(default_factory=Duplicates)
    classifier: Classifier = field(default_factory=Classifier)
    recall: Recall = field(default_factory=Recall)
    annotation: Annotation = field(default_factory=Annotation)
    decontamination: Decontamination = field(default_factory=Decontamination)
    cluster: Cluster = field(default_factory=Cluster)

    def __post_init__(self) -> None:
        one_of("executor", self.executor, EXECUTORS)
