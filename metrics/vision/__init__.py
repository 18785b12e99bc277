"""Metrics of boxes and masks: IoU, matching, mAP, Dice, surface distances."""
