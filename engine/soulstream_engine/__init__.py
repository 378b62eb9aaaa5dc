"""soulstream's engine: listens to music and dances, live. numpy, scipy, aubio and ONNX Runtime; never torch."""

__version__ = "0.1.0"
