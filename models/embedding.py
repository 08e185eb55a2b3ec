"""Token embedding with the dtypes of the PTE boundary."""

from __future__ import annotations

import torch
from torch import nn


class TokenEmbedding(nn.Module):
    """Token ids int32 (1, AR) -> rows of the embedding table, float32 (1, AR, dim).

    One module serves every AR; the length is the example input's.
    """

    def __init__(self, table: torch.Tensor) -> None:  # (vocab, dim)
        super().__init__()
        self.rows = nn.Embedding.from_pretrained(table.detach(), freeze=True)

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        return self.rows(token_ids)

    def example_inputs(self, ar_len: int) -> tuple[torch.Tensor]:
        """Inputs of the shapes to export with; ids are 0."""
        return (torch.zeros(1, ar_len, dtype=torch.int32),)
