"""Captions for images by any multimodal language model, their storage and their audit.

    python -m mm_imagenet_r.captions --model MODEL --prompt PROMPT --images imagenet-r.tar
    python -m mm_imagenet_r.captions audit captions/0123456789abcdef

Importing this package imports nothing heavy: no torch, no transformers, no pyarrow.
"""
