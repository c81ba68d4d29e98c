"""From web pages to a corpus: pages, duplicates, recall in rounds, decontamination, token shards. Needs the extra `corpus`."""
