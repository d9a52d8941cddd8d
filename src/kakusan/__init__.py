"""kakusan (拡散): train, sample and measure diffusion models."""
