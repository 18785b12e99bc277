"""Publishable bundles of runs: what may leave the machine, and computing everything a bundle states anew."""
