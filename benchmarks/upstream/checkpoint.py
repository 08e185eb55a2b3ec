"""`python -m benchmarks.upstream.checkpoint CONFIG_DIR OUT`: random weights as a checkpoint.

A folder as transformers writes it, which both sides of the comparison read.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from models.random_checkpoint import random_checkpoint
from models.registry import find_family


def main() -> None:
    """Write weights, tokenizer, chat template and picture settings."""
    config_dir, out = map(Path, sys.argv[1:])
    checkpoint = random_checkpoint(find_family("smolvlm"), config_dir, seed=0)
    checkpoint.model.save_pretrained(out)
    # Upstream's tokenizer refuses a configuration that names no first token.
    checkpoint.tokenizer.bos_token = "<|im_start|>"
    checkpoint.tokenizer.save_pretrained(out)
    for name in ("chat_template.jinja", "preprocessor_config.json"):
        shutil.copy2(config_dir / name, out / name)


if __name__ == "__main__":
    main()
