"""ExecuTorch's own way from a SmolVLM checkpoint to three PTEs, driven as it is in its wheel."""
