"""A vision-language model of a few hundred weights that keeps the PTE contract on the CPU.

Its three PTEs run on ExecuTorch's own kernels, so the runner can be tested without QNN. The
answer depends on every cached entry (two attention layers, positions enter through a learned
table), so a cache that is filled, moved or requantised wrongly changes the tokens.
`reference` runs the same modules in PyTorch, with a cache written independently of the runner's.

    python -m tests.cpp.toy VARIANT FOLDER

writes the PTEs of a variant, pixels, and `expected.json` with prompts and their answers, so
that the tests themselves need not import torch.
"""
