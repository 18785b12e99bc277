"""Medical concepts in text: a dictionary of terms on disk, a longest-match search over it, and its sources.

``normal`` says when two spellings are the same term, ``index`` holds a dictionary and ``build`` writes one, ``search`` finds
its terms in a text, ``negation`` tells which of them a report denies. Dictionaries come from a licensed UMLS release
(``rrf``), or by default from the Human Phenotype Ontology joined by a radiology lexicon of our own (``default``).
``extractors`` puts this search, QuickUMLS and scispaCy behind one protocol.
"""
