"""A support split to look things up in: embeddings, the index, near-duplicates."""
