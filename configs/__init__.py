"""One file for each setting of the papers: where it is from, its command, cost and result."""
