"""What kind of number a measured quantity is, and whether more of it is better."""

PROMPTS = frozenset(
    {"prompts", "prompts-trained-1", "prompts-untrained-colour-1", "prompts-trained-2", "prompts-untrained-colour-2"}
    | {"prompts-untrained-relation-2"}
)
PIECES = ("parts", "binding", "axis", "direction", "background")
"""Of an obeyed prompt, in the order in which they are asked."""
SHARES = (
    PROMPTS
    | frozenset(PIECES)
    | frozenset(
        {
            "retrieved",
            "accuracy",
            "coverage",
            "plain_coverage",
            "precision",
            "recall",
            "copies",
            "copies-pixels",
            "share",
            "spread",
        }
    )
)
"""Of a whole, from 0 to 1."""
TIMES = frozenset({"seconds", "train_seconds"})
COUNTS = frozenset({"nfe", "n", "images", "numbers", "parameters"})
GROWING = (
    PROMPTS
    | frozenset(PIECES)
    | frozenset(
        {"retrieved", "score", "accuracy", "is", "precision", "recall", "diversity", "coverage", "psnr", "ssim", "clip"}
    )
)
"""Better where there is more of it."""
