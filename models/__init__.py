"""Static-shape export modules, built from transformers configs and weights.

Read `registry` first, then `checkpoint` (load), `components` (build), `prompt` (inputs) and
`generate` (the float reference of the runner's loop).
"""
