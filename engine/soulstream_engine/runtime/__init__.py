"""The live run: threads, the steady pacer, the inference worker, the session. Threads live here and nowhere else."""
