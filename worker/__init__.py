"""Everything that runs: stages, vision, storage, delivery, web and training."""
