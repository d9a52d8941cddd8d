"""Guidance wraps a denoiser in a denoiser, so any sampler walks under any guidance."""

from kakusan.guidance.classifier_free import ClassifierFree
from kakusan.guidance.clip import CLIPGuidance
from kakusan.guidance.threshold import Clip, DynamicThreshold

__all__ = ["CLIPGuidance", "ClassifierFree", "Clip", "DynamicThreshold"]
