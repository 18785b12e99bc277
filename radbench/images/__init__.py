"""Pictures and volumes: decoding behind one bounded, thread-safe cache.

``load`` decodes a reference (PNG, JPEG, TIFF, DICOM file or series, NIfTI, NRRD, npz member); the runner calls
``warm`` from its threads so that a model finds its pictures decoded.
"""

from __future__ import annotations

from radbench.images.cache import cache_clear, load, load_mask, warm
from radbench.images.picture import Picture

__all__ = ["Picture", "cache_clear", "load", "load_mask", "warm"]
