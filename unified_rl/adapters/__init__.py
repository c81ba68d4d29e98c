"""Our rows inside other trainers. Each adapter needs that trainer's own package (an extra), imported when it is used."""
