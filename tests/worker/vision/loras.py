"""LoRA adapters for tests: untrained, with weights that do something."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model

from worker.vision.florence import load_base, verify


def make_lora(base: Path | str, folder: Path, targets: str, seed: int, strength: float = 0.4) -> Path:
    """Save one to a folder. targets: a regular expression of layer names. strength: of its random weights."""
    config = LoraConfig(r=2, lora_alpha=3, use_rslora=True, target_modules=targets)
    model = get_peft_model(load_base(verify(base)), config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                weight.normal_(0, strength)
    model.save_pretrained(folder, save_embedding_layers=False)
    return folder
