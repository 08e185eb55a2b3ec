"""Draws pictures, asks about them, and trains the small checkpoint `smolvlm_tiny` on both.

Run `python -m training --out models/checkpoints/smolvlm_tiny` from the repository root.

pictures    a seed -> a 64 x 64 picture and the facts it shows     (PIL, numpy)
questions   a picture's facts -> questions with their answers      (standard library)
tokenizer   the words of both -> a byte-level BPE of SmolVLM's class and special tokens
checkpoint  geometry; writes every file of a Hugging Face checkpoint
batches     several questions about one picture packed into one sequence
hints       what each image token should show, a second loss while training
muon        the optimiser of the layers' matrices
train       the training loop
evaluate    greedy replies through the stock classes, exact-match accuracy
"""
