"""The networks: causal layers whose one forward serves training and streaming, HRVQ, MAGM."""
