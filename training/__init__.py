"""Draws pictures, asks about them, and trains a small checkpoint of each family on both.

Run these from the repository root; each takes about ten minutes.

    python -m training --family smolvlm --out models/checkpoints/smolvlm_tiny
    python -m training --family internvl3 --out models/checkpoints/internvl3_tiny

pictures    a seed -> a 64 x 64 picture and the facts it shows     (PIL, numpy)
questions   a picture's facts -> questions with their answers      (standard library)
family      what differs between the families; `smolvlm` and `internvl` say it, with geometry,
            tokenizer and image processor; `families` lists them
tokenizer   the words of both -> a byte-level BPE
checkpoint  writes and reads every file of a Hugging Face checkpoint
batches     several questions about one picture packed into one sequence
hints       what each image token should show, a second loss while training
muon        the optimiser of the layers' matrices
train       the training loop
evaluate    greedy replies through the stock classes, exact-match accuracy
"""
