"""The phantom cohort: made-up patients whose every annotation follows from one sampled specification.

Scores on phantoms say that the pipeline is right. They say nothing about clinical skill.
"""
