"""Question-answering protocols: MultiMedEval, VQA-Med, answer sets, and which option an answer means."""
