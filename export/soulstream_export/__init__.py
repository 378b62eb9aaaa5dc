"""soulstream's export: torch networks to ONNX graphs to a verified bundle. Not imported by the engine."""
