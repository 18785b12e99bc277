"""Text metrics over one shared tokenisation: tokens, n-grams, BLEU, ROUGE, METEOR, CIDEr, overlap."""
