"""Making and improving models: rendered scenes, first weights, fine-tuning, evaluation, promotion."""
